"""SQUAD's log parser on some logs: run by an interpreter that has it, on behalf of ``scan.py``.

SQUAD is GPL-3.0-or-later: it is used as it is installed, and nothing of it is here. Reads from stdin an object with
``logs`` (texts), ``quiet`` (a text) and ``rounds``; prints one with ``names`` (for each log, what SQUAD would call its
findings; none: nothing was found), ``quiet_s`` and ``crash_s`` (CPU seconds of each round) and ``version``.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any


def main() -> None:
    parser: Any = importlib.import_module("squad.plugins.linux_log_parser").Plugin()
    task = json.load(sys.stdin)
    noted: list[str] = []
    named = parser.create_name_log_dict

    def note(*arguments: Any, **options: Any) -> Any:
        result = named(*arguments, **options)
        noted.extend(result[0])
        return result

    parser.create_name_log_dict = note  # what it finds would go into its database from here

    def parse(text: str) -> list[str]:
        noted.clear()
        suites = SimpleNamespace(get_or_create=lambda slug: (SimpleNamespace(slug=slug), True))
        build = SimpleNamespace(project=SimpleNamespace(suites=suites))
        parser.postprocess_testrun(SimpleNamespace(log_file=text, build=build), squad=False)
        return list(noted)

    quiet_s, crash_s = [], []
    names: list[list[str]] = []
    for _ in range(task["rounds"]):
        started = time.process_time()
        names = [parse(text) for text in task["logs"]]
        crash_s.append(time.process_time() - started)
        started = time.process_time()
        parse(task["quiet"])
        quiet_s.append(time.process_time() - started)
    json.dump({"names": names, "quiet_s": quiet_s, "crash_s": crash_s, "version": version("squad")}, sys.stdout)


if __name__ == "__main__":
    main()

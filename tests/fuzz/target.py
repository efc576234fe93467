"""Fuzzing guided by coverage: atheris damages recorded logs, and keeps what reaches new code of the judge.

    python -m tests.fuzz.target [--seconds 60] [--folder .fuzz] [--seed N]

What it has learnt stays in the folder's ``corpus`` for the next time. A log that breaks a property is saved in
``found``; put it into ``tests/fuzz/regressions``, where each run of the tests judges it, and repair what it shows.
It begins with the repository's own logs alone, so that what it finds may be kept there; a case that was made of a log
of the corpus is written anew by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

MAX_BYTES = 16 * 1024
"""Of a log: greater ones are judged too rarely in the same time."""
TIMEOUT_S = 120
"""For one log, by the wall clock of a machine that may be busy; a judge that hangs is a finding, too."""
MEMORY_MB = 2048


def main(arguments: Sequence[str] | None = None) -> None:
    """Fuzz for some time. Ends the process itself: with 0, or with another status where it found something."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz.target", description="Fuzz the judge of kernel consoles."
    )
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"))
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    options = parser.parse_args(arguments)
    atheris: Any = importlib.import_module("atheris")
    check, mutate = _instrumented(atheris)
    folder: Path = options.folder
    corpus, seeds, found = folder / "corpus", folder / "seeds", folder / "found"
    for path in (corpus, seeds, found):
        path.mkdir(parents=True, exist_ok=True)
    _write_seeds(seeds)
    texts = folder / "texts.dict"
    texts.write_text(_dictionary(), encoding="ascii")
    flags = [
        f"-max_total_time={options.seconds}",
        f"-max_len={MAX_BYTES}",
        f"-timeout={TIMEOUT_S}",
        f"-report_slow_units={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={found}/",
        f"-dict={texts}",
        f"-seed={options.seed}",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *flags, str(corpus), str(seeds)], check, custom_mutator=mutate)
    atheris.Fuzz()


def _instrumented(atheris: Any) -> tuple[Callable[[bytes], None], Callable[[bytes, int, int], bytes]]:
    """What is done with a log, and how one is damaged; of all that is imported, the judge alone is watched."""
    with atheris.instrument_imports(include=["pytest_shepherd_hil.kernel"]):
        from tests.fuzz.damage import damaged, drawn_step
        from tests.fuzz.properties import check_log, cuts_of

    def check(data: bytes) -> None:
        check_log(data, cuts_of(data))

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.randrange(4) == 0:
            made: bytes = atheris.Mutate(data, max_size)
            return made
        return damaged(data, [drawn_step(random) for _ in range(random.randrange(1, 4))])[:max_size]

    return check, mutate


def _write_seeds(folder: Path) -> None:
    from tests.fuzz.logs import recorded_logs, rule_examples

    for log in (*recorded_logs(), *rule_examples()):
        part = log[-MAX_BYTES:]
        (folder / hashlib.sha256(part).hexdigest()[:16]).write_bytes(part)


def _dictionary() -> str:
    """The texts of the rules, which chance alone would hardly write."""
    from tests.fuzz.properties import RULES

    escaped = ("".join(f"\\x{byte:02x}" for byte in text.encode()) for text in RULES.texts)
    return "".join(f'"{text}"\n' for text in escaped)


if __name__ == "__main__":
    main()

"""How ``shepherd-hil scan`` shows an incident: text for people, or an object of JSON on a line."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_shepherd_hil.evidence.text import incident_text
from pytest_shepherd_hil.kernel.incident import Severity
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.kernel.symbols import CrashSource

__all__ = ["as_json", "as_text", "colours"]

_COLOURS = {Severity.FAIL: "1;31", Severity.WARN: "1;33", Severity.INFO: "1;36"}


def colours() -> bool:
    """Whether stdout shows colours: it is a terminal that can, and nobody asked for none."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def as_text(file: str, incident: Incident, source: CrashSource | None, *, colour: bool) -> str:
    """The headline after its place, and below it what a person wants to know, with an excerpt."""
    first, last = incident.first_line + 1, incident.last_line + 1
    severity = f"\x1b[{_COLOURS[incident.severity]}m{incident.severity}\x1b[m" if colour else str(incident.severity)
    title = printable(incident.headline())
    head = f"{printable(file)}:{first}: {severity}: {f'{chr(27)}[1m{title}{chr(27)}[m' if colour else title}"
    lines = f"lines {first} to {last}" if last > first else f"line {first}"
    more = f"{lines} of {printable(file)}"
    return "\n".join([head, *incident_text(incident, source=source, more=more), ""])


def as_json(file: str, incident: Incident, source: CrashSource | None) -> str:
    """One line, in ASCII, whatever the console had said."""
    crash = incident.crash
    return json.dumps(
        {
            "file": file,
            "kind": incident.kind,
            "severity": str(incident.severity),
            "headline": incident.headline(),
            "function": incident.function,
            "module": incident.module,
            "address": incident.address,
            "signature": incident.signature,
            "first_line": incident.first_line + 1,
            "last_line": incident.last_line + 1,
            "complete": incident.complete,
            "fatal": incident.fatal,
            "secondary": incident.secondary,
            "hints": list(incident.hints),
            "rule": incident.rule,
            "kernel_time_s": incident.kernel_time_s,
            "consequences": list(incident.consequences),
            "crash": asdict(crash) if crash is not None else None,
            **({"source": source.to_dict()} if source is not None else {}),
        }
    )

"""The two logs of ``debug-kernel-panics.md``, verbatim, and how they are read for a replay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

__all__ = ["CMA_AND_PRU", "UNLOAD_PANIC", "LogLine", "log_lines"]

UNLOAD_PANIC = "unload-panic.log"
CMA_AND_PRU = "cma-and-pru.log"
_LINE = re.compile(r"\[ *(\d+\.\d+)\] (.*)")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a recorded kernel log.

    Attributes:
        time_s: kernel time it was printed at, in seconds since boot.
        text: what stands behind the time.
    """

    time_s: float
    text: str


def log_lines(name: str) -> tuple[LogLine, ...]:
    """The lines of one of the recorded logs, in order."""
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return tuple(LogLine(float(match[1]), match[2]) for match in found if match)

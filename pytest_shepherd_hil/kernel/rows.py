"""Many lines of a crash report at once: one pattern takes them apart, and most of them need no second look."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import NamedTuple

__all__ = ["MAX_LINE_CHARS", "Row", "Rows"]

MAX_LINE_CHARS = 1024
"""Characters of a line that are kept in a report."""

# What stands behind a place: a comma could begin a place of lockdep, a bracket another message. Words of ASCII only, as
# other classes cost more.
_FUNCTION = r"[A-Za-z_.][A-Za-z0-9_.$]{0,127}"
_REST = r"[^\n\[\],]*\n"
# A line as printk writes it, with an ordinary frame, a guess, or another message; or any other line.
_ROW = re.compile(
    r"\[([ 0-9]{5}\.[0-9]{6})\](?:\[ {0,8}[TC] {0,8}[0-9]{1,8}\])? ?"
    r"(?:"
    r" {1,24}+(?:\[<[0-9a-f]{8,16}>\] )?"
    rf"(?:(\?) {_FUNCTION}\+0x[0-9a-f]{{1,8}}/0x[0-9a-f][^\n\[\],]*(?:\[[A-Za-z0-9_-]{{1,64}}\])?\n"
    rf"|(?![0-9a-f]{{16}})({_FUNCTION})\+0x([0-9a-f]{{1,8}})/0x([0-9a-f]{{1,8}})"
    rf"(?: \[([A-Za-z0-9_-]{{1,64}})\])?{_REST})"
    r"|([^\n]+)\n"
    r")|[^\n]*\n"
)
_TIME = re.compile(r" *[0-9]+\.[0-9]+$")

Row = tuple[str, str, str, str, str, str, str]
"""Time, ``?`` of a guess, function, offset, size and module of a frame, and the message of any other line."""


class Rows(NamedTuple):
    """The lines of a text, in columns."""

    lines: list[str]
    """As they came, none longer than a report keeps."""
    rows: list[Row]
    others: list[int]
    """Which are neither an ordinary frame nor a guess, but for those without a time."""
    stops: list[int]
    """Which have no time, or one that is not soon after the one before it: these are to be looked at one by one."""
    times: list[float]
    """-1 where there is none."""

    @classmethod
    def of(cls, text: str) -> Rows:
        """Take a text apart; it ends with a line end."""
        rows: list[Row] = _ROW.findall(text)
        lines = text.split("\n")
        lines.pop()
        if max(map(len, lines)) > MAX_LINE_CHARS:
            lines = [line[:MAX_LINE_CHARS] for line in lines]
        columns = list(zip(*rows, strict=True))
        others = [index for index, message in enumerate(columns[6]) if message]
        try:
            times = list(map(float, columns[0]))
        except ValueError:
            times = [float(time) if _TIME.match(time) else -1.0 for time in columns[0]]
        else:
            if times[-1] <= times[0] + 1.0 and times == sorted(times):
                return cls(lines, rows, others, [], times)
        stops = [
            index
            for index, (before, time) in enumerate(pairwise([times[0], *times]))
            if time < 0.0 or not before <= time <= before + 1.0
        ]
        return cls(lines, rows, others, stops, times)

    def next_stop(self, start: int) -> int:
        """The first stop after a line, or the end."""
        at = bisect_right(self.stops, start)
        return self.stops[at] if at < len(self.stops) else len(self.rows)

    def others_from(self, start: int) -> list[int]:
        """Which are neither, from a line on."""
        return self.others[bisect_left(self.others, start) :]

    def is_blank(self, index: int) -> bool:
        """Whether a line says nothing at all."""
        row = self.rows[index]
        return not (self.lines[index] if not row[0] else row[1] or row[2] or row[6].rstrip())

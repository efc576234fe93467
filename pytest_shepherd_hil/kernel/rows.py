"""Many lines of a crash report at once: one pattern takes them apart, and most of them need no second look."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import compress, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_LINE_CHARS", "Row", "Rows"]

MAX_LINE_CHARS = 1024
"""Characters of a line that are kept in a report."""

# What stands behind a place: a comma could begin a place of lockdep, a bracket another message. Words of ASCII only, as
# other classes cost more.
_FUNCTION = r"[A-Za-z_.][A-Za-z0-9_.$]{0,127}"
_REST = r"[^\n\[\],]*\n"
# A line as printk writes it, with an ordinary frame, a guess, registers of x86, or another message; or any other line.
_ROW = re.compile(
    r"\[( {0,4}+[0-9]{1,5}+\.[0-9]{6})\](?:\[ {0,8}[TC] {0,8}[0-9]{1,8}\])? ?"
    r"(?:"
    r" {1,24}+(?:\[<[0-9a-f]{8,16}>\] )?"
    rf"(?:(\?) {_FUNCTION}\+0x[0-9a-f]{{1,8}}/0x[0-9a-f][^\n\[\],]*(?:\[[A-Za-z0-9_-]{{1,64}}\])?\n"
    rf"|(?![0-9a-f]{{16}})({_FUNCTION})\+0x([0-9a-f]{{1,8}})/0x([0-9a-f]{{1,8}})"
    rf"(?: \[([A-Za-z0-9_-]{{1,64}})\])?{_REST})"
    r"|((?:R(?:[A-D]X|[SD]I|[BS]P|[0-9]{2})|[CD]R[0-9]|[DEFGS]S|PKRU): {1,2}[^\s\[\]][^\n\[\]]*)\n"
    r"|([^\n]+)\n"
    r")|[^\n]*\n"
)
_TIME_CHARS = 12
"""Of a time as printk writes it, where it has come to less than a day: such times are in order if their texts are."""

Row = tuple[str, str, str, str, str, str, str, str]
"""Time, ``?`` of a guess, function, offset, size and module of a frame, registers, and the message of any other."""


class Rows(NamedTuple):
    """The lines of a text, in columns."""

    lines: list[str]
    """As they came, none longer than a report keeps."""
    rows: list[Row]
    times: Sequence[str]
    """Empty where a line has none."""
    guesses: Sequence[str]
    functions: Sequence[str]
    registers: Sequence[str]
    messages: Sequence[str]
    others: list[int]
    """Which are neither an ordinary frame, nor a guess, nor registers, but for those without a time."""
    stops: list[int]
    """Which have no time, or one that is not soon after the one before it: these are to be looked at one by one."""

    @classmethod
    def of(cls, text: str) -> Rows:
        """Take a text apart; it ends with a line end."""
        rows: list[Row] = _ROW.findall(text)
        lines = text.split("\n")
        lines.pop()
        if max(map(len, lines)) > MAX_LINE_CHARS:
            lines = [line[:MAX_LINE_CHARS] for line in lines]
        times, guesses, functions, _, _, _, registers, messages = zip(*rows, strict=True)
        others = list(compress(range(len(rows)), messages))
        stops: list[int] = []
        in_order = list(times) == sorted(times) and len("".join(times)) == _TIME_CHARS * len(times)
        if not in_order or float(times[-1]) > float(times[0]) + 1.0:
            seconds = [float(time) if time else -1.0 for time in times]
            stops = [
                index
                for index, (before, time) in enumerate(pairwise([seconds[0], *seconds]))
                if time < 0.0 or not before <= time <= before + 1.0
            ]
        return cls(lines, rows, times, guesses, functions, registers, messages, others, stops)

    def time(self, index: int) -> float:
        """The kernel time of a line; -1 where it has none."""
        return float(self.times[index] or -1.0)

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
        return not (self.lines[index] if not row[0] else any(row[1:7]) or row[7].rstrip())

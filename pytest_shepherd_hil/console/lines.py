"""The lines of a console, kept as they came and taken apart only where somebody looks at them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import overload

from pytest_shepherd_hil.kernel.lines import Line, parse_line

__all__ = ["ConsoleLine", "LineBlock", "LineStore"]


@dataclass(slots=True, frozen=True)
class ConsoleLine:
    """One line of a console, as it came and as it was understood."""

    line: Line
    raw: bytes
    """Its bytes without the line end."""
    time_ns: int
    """Host time at which its end was read: ``time.monotonic_ns()``."""
    offset: int
    """Where its first byte is in the console log."""

    @property
    def number(self) -> int:
        """Which line of the console log it is, from 0."""
        return self.line.number

    @property
    def text(self) -> str:
        """The whole line as text; bytes that are not UTF-8 are replaced."""
        return self.line.text

    @property
    def message(self) -> str:
        """The line without the kernel's prefix."""
        return self.line.message

    @property
    def kernel_time_s(self) -> float | None:
        """The kernel's time stamp, seconds since boot; None where it printed none."""
        return self.line.kernel_time_s

    def __str__(self) -> str:
        return self.text


class LineBlock(Sequence[ConsoleLine]):
    """The lines that one read has ended.

    Args:
        first: number of the first of them.
        offset: where its first byte is in the console log.
        data: their bytes, with their ends.
        time_ns: host time of the read.
        pieces: instead of ``data``, offset and bytes of each, where one of them is too long to be one line.
        count: how many lines ``data`` is.

    Attributes:
        data: as given, until somebody has looked at the lines.
        size: how many bytes they are.
    """

    __slots__ = ("_count", "_lines", "_pieces", "data", "first", "offset", "size", "time_ns")

    def __init__(
        self,
        first: int,
        offset: int,
        data: bytes,
        time_ns: int,
        pieces: Sequence[tuple[int, bytes]] = (),
        count: int = 0,
    ) -> None:
        self.first = first
        self.offset = offset
        self.data = data
        self.time_ns = time_ns
        self.size = len(data) + sum(len(raw) for _, raw in pieces)
        self._pieces = pieces
        self._count = len(pieces) or count
        self._lines: list[ConsoleLine] | None = None

    @property
    def end(self) -> int:
        """Number of the line after the last of them."""
        return self.first + self._count

    @property
    def lines(self) -> list[ConsoleLine]:
        """Each of them. For any thread."""
        pieces, data = self._pieces, self.data
        lines = self._lines  # only after the others: another thread may be making them
        if lines is None:
            lines = [
                ConsoleLine(parse_line(raw, number), raw, self.time_ns, offset)
                for number, (offset, raw) in enumerate(pieces or self._cut(data), self.first)
            ]
            self._lines = lines
            self._pieces, self.data = (), b""
        return lines

    @property
    def newest_time_s(self) -> float | None:
        """The kernel time of the last of them."""
        data = self.data
        if not data:
            return self.lines[-1].kernel_time_s
        begin = data.rfind(b"\n", 0, len(data) - 1) + 1
        return parse_line(data[begin:].rstrip(), 0).kernel_time_s

    def _cut(self, data: bytes) -> list[tuple[int, bytes]]:
        found, offset = [], self.offset
        for raw in data.split(b"\n")[:-1]:
            found.append((offset, raw.rstrip(b"\r")))
            offset += len(raw) + 1
        return found

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> ConsoleLine: ...
    @overload
    def __getitem__(self, index: slice) -> list[ConsoleLine]: ...
    def __getitem__(self, index: int | slice) -> ConsoleLine | list[ConsoleLine]:
        return self.lines[index]


class LineStore:
    """The newest lines.

    Args:
        keep_lines: how many are kept at most.
        keep_bytes: how many bytes of them are kept at most.
    """

    _SPARE = 1024
    """So many blocks that are no longer kept are taken out at once."""
    _FEW = 8

    def __init__(self, keep_lines: int, keep_bytes: int) -> None:
        self._keep_lines = keep_lines
        self._keep_bytes = keep_bytes
        self._blocks: list[LineBlock] = []
        self._gone = 0
        self._bytes = 0
        self._timed_until = 0
        self._kernel_time_s: float | None = None
        self.count = 0
        """Number of lines so far."""

    def append(self, block: LineBlock) -> None:
        blocks = self._blocks
        blocks.append(block)
        self.count = block.end
        self._bytes += block.size
        while self._gone < len(blocks) and (
            self.count - blocks[self._gone].end >= self._keep_lines or self._bytes > self._keep_bytes
        ):
            self._bytes -= blocks[self._gone].size
            self._gone += 1
        if self._gone > self._SPARE:
            del blocks[: self._gone]
            self._gone = 0

    def between(self, since: int, until: int) -> list[ConsoleLine]:
        """The lines numbered ``since`` to ``until`` (not included), as far as they are still kept."""
        since = max(since, self.count - self._keep_lines, 0)
        until = min(until, self.count)
        found: list[ConsoleLine] = []
        at = self._block_of(since)
        while since < until and at < len(self._blocks):
            block = self._blocks[at]
            found += block.lines[max(since - block.first, 0) : until - block.first]
            since = block.end
            at += 1
        return found

    def newest_time_s(self, since: int, until: int) -> float | None:
        """The greatest kernel time on lines from ``since`` to ``until`` (not included).

        Of many lines that came in one read the times hardly differ: only the last is looked at.
        """
        times: list[float | None] = []
        at = self._block_of(since)
        while at < len(self._blocks) and self._blocks[at].first < until:
            block = self._blocks[at]
            at += 1
            if since <= block.first and block.end <= until and len(block) > self._FEW:
                times.append(block.newest_time_s)
            else:
                times += [line.kernel_time_s for line in block.lines if since <= line.number < until]
        return max((time_s for time_s in times if time_s is not None), default=None)

    @property
    def kernel_time_s(self) -> float | None:
        """The newest kernel time stamp seen."""
        for block in reversed(self._blocks):
            if block.end <= self._timed_until:
                break
            times = [line.kernel_time_s for line in block.lines if line.kernel_time_s is not None]
            if times:
                self._kernel_time_s = times[-1]
                break
        self._timed_until = self.count
        return self._kernel_time_s

    def _block_of(self, number: int) -> int:
        """Index of the oldest kept block that has this line or later ones."""
        return max(bisect_right(self._blocks, number, key=attrgetter("end")), self._gone)

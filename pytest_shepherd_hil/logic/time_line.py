"""One time line for a capture's samples and the console's lines.

Where the console's own line is among the channels, its decoded text says which sample a line was said at, to within a
bit. Else the host's time of samples and lines does, to about 0.1 s.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from math import ceil
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic.alignment import align
from pytest_shepherd_hil.logic.sample_clock import HOST_TIME_S
from pytest_shepherd_hil.logic.spoken import Spoken, bare, likely_channels, listen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_shepherd_hil.logic.capture import Capture

__all__ = ["HeardLine", "LineAt", "Tied", "TimeLine", "tie"]

Tied = Literal["decoded text", "host time"]

_AROUND_NS = 3_000_000_000
"""So far from the capture's host time a line of it may have been read."""


class HeardLine(Protocol):
    """A line of a console, as :class:`pytest_shepherd_hil.console.log.ConsoleLine` is one."""

    @property
    def raw(self) -> bytes:
        """The line's bytes, with or without what ends it."""

    @property
    def time_ns(self) -> int:
        """When its end was read: ``time.monotonic_ns()``."""

    @property
    def offset(self) -> int:
        """Where its first byte is in the console's log: no other line's is there."""


@dataclass(frozen=True, slots=True)
class LineAt:
    """Where a line lies in a capture."""

    channel: str | None
    """The analyzer's name of the channel that says it; None where host time tells."""
    start_sample: int
    """The first sample of its first character's start bit; of a line that had begun before, of what there is of it."""
    end_sample: int
    """The first sample after its last character."""
    start_s: float
    """The same in seconds from the capture's beginning, good to :attr:`within_s`."""
    end_s: float
    tied: Tied = "decoded text"
    """How that is known."""
    within_s: float = 0.0
    """How well that is known, in seconds."""


@dataclass(frozen=True, slots=True)
class TimeLine:
    """Which sample is which moment of the console."""

    capture: Capture = field(repr=False)
    tied: Tied
    """``decoded text``, to within a bit, or ``host time``, to within about 0.1 s."""
    within_s: float
    """How well they are tied, in seconds."""
    channel: str | None
    """The analyzer's name of the channel that carries the console, where the text ties them."""
    baudrate: float
    host_ns: int
    """Host time of the capture's first sample: ``time.monotonic_ns()``, to about 0.1 s."""
    _offsets: NDArray[np.int64] = field(repr=False)
    _starts: NDArray[np.int64] = field(repr=False)
    _ends: NDArray[np.int64] = field(repr=False)

    def at(self, line: HeardLine) -> LineAt | None:
        """Where a line lies; None where it is not in the capture."""
        at = int(np.searchsorted(self._offsets, line.offset))
        if at < len(self._offsets) and self._offsets[at] == line.offset and self._starts[at] >= 0:
            return self._place(int(self._starts[at]), int(self._ends[at]), "decoded text")
        start, end = self.about(line)
        return self._place(max(start, 0), end, "host time") if end > 0 and start < len(self.capture) else None

    def about(self, line: HeardLine) -> tuple[int, int]:
        """The first sample of a line and the one after it, by host time; they may lie outside of the capture.

        Where decoded text ties the two, so does every line that was said before the first, or after the last, of those
        that were heard.
        """
        end = self.sample_at(line.time_ns)
        start = end - ceil(10 * len(bare(line.raw)) * self.capture.samplerate / self.baudrate)
        heard = self._offsets[self._starts >= 0]
        if len(heard) and line.offset < heard[0]:
            return min(start, end, -1), min(end, -1)
        if len(heard) and line.offset > heard[-1]:
            return max(start, len(self.capture)), max(end, len(self.capture))
        return start, end

    def sample_at(self, time_ns: int) -> int:
        """The sample taken at a host time, to about 0.1 s; it may lie outside of the capture."""
        return (time_ns - self.host_ns) * self.capture.samplerate // 1_000_000_000

    def __str__(self) -> str:
        names = self.capture.names
        if self.channel is None:
            return f"by host time, to within about {self.within_s:g} s"
        called = f"{names[self.channel]} ({self.channel})" if self.channel in names else self.channel
        return f"by the decoded text of {called}, to within {self.within_s * 1e6:.2g} µs"

    def _place(self, start: int, end: int, tied: Tied) -> LineAt:
        rate = self.capture.samplerate
        known = tied == "decoded text"
        within_s = self.within_s if known else HOST_TIME_S
        return LineAt(self.channel if known else None, start, end, start / rate, end / rate, tied, within_s)


def tie(
    capture: Capture, lines: Sequence[HeardLine], *, channel: str | None = None, baudrate: float = 115200
) -> TimeLine:
    """Tie samples and lines together.

    Args:
        capture: the samples.
        lines: of the console, in their order, all that may have been said meanwhile; more do no harm.
        channel: the one that carries the console; where not given, each is looked at.
        baudrate: bits a second.

    Raises:
        LogicError: no such channel; or nothing ties them: no channel says the lines, and the host's time of the samples
            is not known, as that of a file.
    """
    first, last = 0, len(lines)
    if capture.host_ns is not None:
        end_ns = capture.host_ns + len(capture) * 1_000_000_000 // capture.samplerate
        first = bisect_left(lines, capture.host_ns - _AROUND_NS, key=attrgetter("time_ns"))
        last = bisect_right(lines, end_ns + _AROUND_NS, key=attrgetter("time_ns"))
    near = lines[first:last]
    offsets = np.array([line.offset for line in near], np.int64)
    unheard: list[str] = []
    for name in likely_channels(capture, channel):
        if len(capture.edges(name)) > 1.1 * capture.duration_s * baudrate + 10:
            continue  # more edges than bits
        try:
            spoken = listen(capture, name, baudrate)
        except LogicError as error:
            unheard.append(str(error))
            break  # what is sampled too slowly is so on each
        found = _places(capture, spoken, near) if spoken.is_text and near else None
        if found is not None:
            starts, ends = found
            return TimeLine(
                capture,
                "decoded text",
                1 / baudrate,
                spoken.channel,
                baudrate,
                capture.host_ns if capture.host_ns is not None else _host_ns(capture, near, ends),
                offsets,
                starts,
                ends,
            )
    if capture.host_ns is None:
        raise LogicError(
            "nothing ties this capture's samples to the console's lines: no channel says them"
            + (f" ({unheard[0]})" if unheard else f" at {baudrate:.9g} baud")
            + ", and when it was made is not known"
        )
    none = np.full(len(near), -1, np.int64)
    return TimeLine(capture, "host time", HOST_TIME_S, None, baudrate, capture.host_ns, offsets, none, none)


def _places(
    capture: Capture, spoken: Spoken, lines: Sequence[HeardLine]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The samples of the lines' begins and ends, -1 where they were not heard; None where none was."""
    heard = spoken.data.split(b"\n")
    begins = np.cumsum([0, *(len(text) + 1 for text in heard)])[:-1]
    lasts = begins + np.array([max(len(text) - 1, 0) for text in heard])
    heard_ns = lines_ns = None
    if capture.host_ns is not None:
        ends = spoken.starts[np.minimum(lasts, len(spoken.starts) - 1)]
        heard_ns = (capture.host_ns + ends / capture.samplerate * 1e9).astype(np.int64).tolist()
        lines_ns = [line.time_ns for line in lines]
    which = align(heard, [bare(line.raw).rstrip(b"\n") for line in lines], heard_ns, lines_ns)
    said = (which >= 0) & (begins[which] < len(spoken.data))
    if not said.any():
        return None
    starts, ends = np.full(len(lines), -1, np.int64), np.full(len(lines), -1, np.int64)
    starts[said] = spoken.starts[begins[which[said]]]
    ends[said] = spoken.starts[lasts[which[said]]] + ceil(10 * spoken.samples_per_bit)
    return starts, ends


def _host_ns(capture: Capture, lines: Sequence[HeardLine], ends: NDArray[np.int64]) -> int:
    """When the capture began, by the lines in it: they are read when they are over, or later."""
    said = np.flatnonzero(ends >= 0)
    read = np.array([lines[at].time_ns for at in said.tolist()], np.int64)
    return int((read - (ends[said] / capture.samplerate * 1e9).astype(np.int64)).min())

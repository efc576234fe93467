"""UART characters out of a channel's samples, as they come in.

The decoder works on edges: which start edges begin a character follows from edge to edge, and the levels of all bits of
all characters from which edges lie before them. Its result does not depend on how the samples are cut into chunks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.logic.edges import EdgeFinder
from pytest_shepherd_hil.logic.frames import BREAK, FRAMING, UartError, UartFrame, UartFrames
from pytest_shepherd_hil.logic.line_format import MIN_SAMPLES_PER_BIT, SPIKE, LineFormat, Parity

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MIN_SAMPLES_PER_BIT", "Parity", "UartDecoder", "UartError", "UartFrame", "UartFrames"]

_SYNC_FRAMES = 16
_GATHER_EDGES = 1 << 15
_NO_EDGES = np.empty(0, np.int64)
_NO_FRAMES = UartFrames.join([])


class UartDecoder:
    """Decodes one channel, chunk by chunk.

    Where the line does not begin with a frame's length of idle, the first characters are held back until 16 frames'
    length has been seen (or :meth:`finish`), and decoding begins at the first edge from which that decodes without
    error: the middle of a character is not taken for one.

    Args:
        samplerate, baudrate, data_bits, parity, stop_bits: as
            :class:`~pytest_shepherd_hil.logic.line_format.LineFormat` takes them.
        invert: the line idles low.
        coarse: go down to 3 samples a bit, for a recording that cannot be made again; what comes out is then only as
            good as the two clocks.
        unitsize: bytes in a sample.
        bit: which bit of a sample the channel is.

    Raises:
        LogicError: fewer than 8 samples a bit, or a setting that no UART has.

    Attributes:
        samples_per_bit: how finely the line is sampled.
    """

    def __init__(
        self,
        samplerate: int,
        baudrate: float = 115200,
        data_bits: int = 8,
        parity: Parity = "none",
        stop_bits: float = 1,
        invert: bool = False,
        *,
        coarse: bool = False,
        unitsize: int = 1,
        bit: int = 0,
    ) -> None:
        self._format = LineFormat(samplerate, baudrate, data_bits, parity, stop_bits, coarse=coarse)
        self.samples_per_bit = self._format.samples_per_bit
        self._invert = invert
        self._finder = EdgeFinder(unitsize, bit)
        self._pending: list[NDArray[np.int64]] = []
        self._glitches: list[NDArray[np.int64]] = []
        self._last_edge: int | None = None
        self._skip = 0
        self._synced = False
        self._needed = 0

    def feed(self, samples: bytes | memoryview) -> UartFrames:
        """The characters that are complete with these further samples.

        Args:
            samples: whole units. Sample numbers count from the first ever fed.
        """
        parts: list[UartFrames] = []
        gathered = 0
        for edges in self._finder.feed(samples):
            self._add(edges)
            gathered += len(edges)
            if gathered > _GATHER_EDGES:
                parts.append(self._run(final=False))
                gathered = 0
        if (self._pending or not self._synced) and self._finder.total >= self._needed:
            parts.append(self._run(final=False))
        return UartFrames.join(parts) if parts else _NO_FRAMES

    def finish(self) -> UartFrames:
        """The characters still held back when no more samples will come. A character that is cut off is not one."""
        return self._run(final=True)

    def _add(self, edges: NDArray[np.int64]) -> None:
        if not len(edges):
            return
        self._find_glitches(edges)
        if self._skip and not self._pending:  # the line was low, and the first edge is where it goes high
            edges, self._skip = edges[1:], 0
        if len(edges):
            self._pending.append(edges)

    def _find_glitches(self, edges: NDArray[np.int64]) -> None:
        half = self.samples_per_bit / 2
        if self._last_edge is not None and edges[0] - self._last_edge < half:
            self._glitches.append(np.array([self._last_edge]))
        widths = edges[1:] - edges[:-1]
        if len(widths) and widths.min() < half:
            self._glitches.append(edges[:-1][widths < half])
        self._last_edge = int(edges[-1])

    def _run(self, *, final: bool) -> UartFrames:
        edges = self._pending[0] if len(self._pending) == 1 else np.concatenate([_NO_EDGES, *self._pending])
        if not self._synced:
            begin = self._begin(edges, final)
            if begin is None:
                self._pending = [edges] if len(edges) else []
                return UartFrames.join([])
            edges, self._synced = begin, True
        frames, done = decode_edges(edges, self._finder.total, self._format)
        if done < len(edges):
            self._pending = [edges[done:]]
            self._needed = int(edges[done]) + self._format.window
        else:
            self._pending = []
            self._skip = len(edges) % 2 if len(edges) else self._skip
        if self._glitches:
            frames.glitches = np.concatenate([frames.glitches, *self._glitches])
            self._glitches = []
        return frames

    def _begin(self, edges: NDArray[np.int64], final: bool) -> NDArray[np.int64] | None:
        """The edges from the first start edge on; ``None`` as long as that cannot be told."""
        form, total = self._format, self._finder.total
        low = bool(self._finder.initial) == self._invert if total else False
        if total < form.length and not final:
            self._needed = form.length
            return None
        # a level before the first sample: that a start bit began with it
        from_low = np.concatenate([[0], edges])
        if not len(edges) or edges[0] >= form.length:
            return from_low if low else edges  # in the middle of a break, or idle
        size = _SYNC_FRAMES * form.length
        if total < size and not final:
            self._needed = size
            return None
        falling = edges[1:] if low else edges
        head = min(size, total)
        if low and self._on_grid(edges) and self._clean(from_low, head):
            return from_low
        for index in range(0, int(np.searchsorted(falling, form.length + 1)), 2):
            if self._clean(falling[index:], head):
                return falling[index:]
        return falling

    def _clean(self, edges: NDArray[np.int64], total: int) -> bool:
        """Whether what begins with these edges is more than one character, and none with an error."""
        frames, _ = decode_edges(edges[: np.searchsorted(edges, total)], total, self._format)
        return len(frames) > 1 and not frames.codes.any()

    def _on_grid(self, edges: NDArray[np.int64]) -> bool:
        """Whether a start bit can begin with the very first sample (a trigger does that): do the edges say so?"""
        first = edges[edges < self._format.resume]
        nearest = np.round(first / self.samples_per_bit) * self.samples_per_bit
        return bool(np.all(np.abs(first - nearest) <= 1 + 0.02 * first))


def decode_edges(edges: NDArray[np.int64], total: int, form: LineFormat) -> tuple[UartFrames, int]:
    """The characters that are complete within a line's first ``total`` samples.

    Args:
        edges: sample numbers of the line's edges, the first one falling.
        total: how many samples are known.
        form: how a character looks.

    Returns:
        The characters, and the index of the edge from which to go on when more is known.
    """
    at = _chain(edges, form)
    starts = edges[at]
    complete = int(np.searchsorted(starts, total - form.window, "right"))
    done = int(at[complete]) if complete < len(at) else len(edges)
    if not complete:
        return UartFrames.join([]), done
    at, starts = at[:complete], starts[:complete]
    # each edge turns the levels at all points from it on: those of a character are the sum of its edges
    distances = edges[:done] - np.repeat(starts, np.diff(at, append=done))
    np.minimum(distances, form.window, out=distances)
    turned = np.bitwise_xor.accumulate(form.turned(distances))[np.append(at[1:], done) - 1]
    turned[1:] ^= turned[:-1].copy()
    levels = form.majority(turned ^ form.all_points)
    values, codes = form.values[levels], form.codes[levels]
    if codes.any():
        low = np.flatnonzero((levels == 0) & (codes == FRAMING))
        low_for = np.append(edges, total)[at[low] + 1] - starts[low]
        codes[low[low_for >= form.length]] = BREAK
        if len(low) and at[low[-1]] + 1 == len(edges) and low_for[-1] < form.length:  # it may still become one
            done = int(at[-1])
            starts, values, codes = starts[:-1], values[:-1], codes[:-1]
        kept = codes != SPIKE
        if not kept.all():
            starts, values, codes = starts[kept], values[kept], codes[kept]
    return UartFrames(starts, values, codes, _NO_EDGES), done


def _chain(edges: NDArray[np.int64], form: LineFormat) -> NDArray[np.intp]:
    """Which falling edges are looked at as start edges, from the first on: their indices in ``edges``.

    After a character it is the first falling edge beyond the middle of its last bit; after a spike the very next one.
    """
    falling = np.ascontiguousarray(edges[::2])
    steps = _steps(falling, form)
    low_for = edges[1::2] - falling[: len(edges) // 2]
    unsure = np.flatnonzero(low_for <= form.start_decided)
    if len(unsure):
        looked = falling[unsure][:, None] + form.start_points
        high = (np.searchsorted(edges, looked, "right") - 2 * unsure[:, None] - 1) % 2 == 1
        steps[unsure[high.sum(axis=1) > 1]] = 1
    jumps: bytes | list[int] = steps.tobytes() if steps.dtype == np.uint8 else steps.tolist()
    visited = bytearray(len(falling))
    at, end = 0, len(falling)
    while at < end:
        visited[at] = 1
        at += jumps[at]
    return np.flatnonzero(np.frombuffer(visited, np.bool_)) * 2


def _steps(falling: NDArray[np.int64], form: LineFormat) -> NDArray[np.uint8] | NDArray[np.intp]:
    """How many falling edges further on the next character begins, if one begins with this."""
    limits = falling + form.resume
    most = (form.bits + 1) // 2
    if not np.any(falling[most:] <= limits[:-most]):  # a line without noise: so few edges can be in a character
        steps = np.ones(len(falling), np.uint8)
        for ahead in range(1, most):
            steps[:-ahead] += falling[ahead:] <= limits[:-ahead]
        return steps
    return np.searchsorted(falling, limits, "right") - np.arange(len(falling))

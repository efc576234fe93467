"""UART characters out of a line's levels, as they come in.

The decoder jumps from start edge to start edge with ``bytes.find`` and looks at a line only where a bit has its middle.
Its result does not depend on how the levels are cut into chunks.
"""

from __future__ import annotations

from math import ceil
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from pytest_shepherd_hil.errors import LogicError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MIN_SAMPLES_PER_BIT", "Parity", "UartDecoder", "UartError", "UartFrame"]

Parity = Literal["none", "odd", "even"]
UartError = Literal["framing", "break", "parity"]

MIN_SAMPLES_PER_BIT = 8.0
"""Below this a live line is refused: an edge is only known to a sample, and too little of the bit is left for drift."""
MIN_COARSE_SAMPLES_PER_BIT = 3.0
"""Below this every decoder returns garbage; measured at 115200 baud between 250 and 400 kHz."""

_SYNC_FRAMES = 16
_INVERT = bytes([1, 0]) + bytes(254)


class UartFrame(NamedTuple):
    """One character on the line (a named tuple, as there may be a hundred thousand a second)."""

    start_sample: int
    """The first sample of its start bit."""
    value: int
    """What its data bits say, the first on the line being the least significant."""
    error: UartError | None = None
    """``framing``: no stop bit where one should be; ``break``: low for a whole frame or longer; ``parity``."""


class UartDecoder:
    """Decodes one line, chunk by chunk.

    Where the line does not begin with a frame's length of idle, the first characters are held back until 16 frames'
    length has been seen (or :meth:`finish`), and decoding begins at the first edge from which that decodes without
    error: the middle of a character is not taken for one.

    Args:
        samplerate: samples a second, in Hz.
        baudrate: bits a second.
        data_bits: 5 to 9.
        parity: ``none``, ``odd`` or ``even``.
        stop_bits: 1 or 2; how many must be high.
        invert: the line idles low.
        coarse: go down to 3 samples a bit, for a recording that cannot be made again; what comes out is then only as
            good as the two clocks.

    Raises:
        LogicError: fewer than 8 samples a bit, or a setting that no UART has.
    """

    def __init__(
        self,
        samplerate: int,
        baudrate: int = 115200,
        data_bits: int = 8,
        parity: Parity = "none",
        stop_bits: int = 1,
        invert: bool = False,
        *,
        coarse: bool = False,
    ) -> None:
        if (
            baudrate <= 0
            or data_bits not in range(5, 10)
            or parity not in ("none", "odd", "even")
            or stop_bits not in (1, 2)
        ):
            raise LogicError(
                f"no UART has baudrate={baudrate}, data_bits={data_bits}, parity={parity!r}, stop_bits={stop_bits}; "
                "give a positive baudrate, 5 to 9 data bits, parity 'none', 'odd' or 'even', 1 or 2 stop bits"
            )
        self.samples_per_bit = samplerate / baudrate
        _check_rate(samplerate, baudrate, coarse)
        self._data_bits = data_bits
        self._parity = parity
        self._stop_bits = stop_bits
        self._invert = invert
        bits = 1 + data_bits + (parity != "none") + stop_bits
        # an edge seen at sample s happened between s - 1 and s, hence the half sample
        offsets = [round((bit + 0.5) * self.samples_per_bit - 0.5) for bit in range(bits)]
        self._offsets = offsets
        self._last = offsets[-1]
        self._window = offsets[-1] + 2
        self._frame = ceil(bits * self.samples_per_bit)
        self._pick = cast("Callable[[bytes], tuple[int, ...]]", itemgetter(*offsets))
        self._pick_before = cast("Callable[[bytes], tuple[int, ...]]", itemgetter(*(offset - 1 for offset in offsets)))
        self._known: dict[tuple[int, ...], tuple[int, UartError | None] | None] = {}
        self._pending = b""
        self._base = 0
        self._low = False
        self._synced = False

    def feed(self, bits: bytes) -> list[UartFrame]:
        """The characters that are complete with these further levels.

        Args:
            bits: one byte, 0 or 1, for each sample. Sample numbers count from the first ever fed.
        """
        if self._invert:
            bits = bits.translate(_INVERT)
        return self._run(self._pending + bits if self._pending else bits, final=False)

    def finish(self) -> list[UartFrame]:
        """The characters still held back when no more levels will come. A character that is cut off is not one."""
        return self._run(self._pending, final=True)

    def _run(self, line: bytes, *, final: bool) -> list[UartFrame]:
        at = 0
        if not self._synced:
            begin = self._begin(line, final)
            if begin is None:
                self._pending = line
                return []
            self._synced = True
            at, self._low = begin
        frames, at, self._low = self._frames(line, at, self._low)
        self._pending = line[at:]
        self._base += at
        return frames

    def _frames(self, line: bytes, at: int, low: bool) -> tuple[list[UartFrame], int, bool]:
        """Frames in ``line`` from ``at`` on; ``low``: the line must go high before a start edge can come.

        Returns:
            The frames, and where and how to go on when more of the line is there.
        """
        frames: list[UartFrame] = []
        length, window_size, base = len(line), self._window, self._base
        known, pick, pick_before = self._known, self._pick, self._pick_before
        while True:
            if low:
                high = line.find(1, at)
                if high < 0:
                    return frames, length, True
                at, low = high, False
            start = line.find(0, at)
            if start < 0:
                return frames, length, False
            if start + window_size > length:
                return frames, start, False
            window = line[start : start + window_size]
            levels = pick(window)
            if levels != pick_before(window):
                levels = self._vote(window)
            try:
                read = known[levels]
            except KeyError:
                read = known[levels] = self._read(levels)
            if read is None:  # high in the middle of the start bit: a spike, not a start
                at, low = start, True
                continue
            if read[1] == "framing" and not any(levels):
                if start + self._frame > length:
                    return frames, start, False
                if line.find(1, start, start + self._frame) < 0:
                    frames.append(UartFrame(base + start, 0, "break"))
                    at, low = start + self._frame, True
                    continue
            frames.append(UartFrame(base + start, *read))
            at = start + self._last
            low = not line[at]

    def _vote(self, window: bytes) -> tuple[int, ...]:
        """Two of the three samples around each bit's middle; it differs from the middle only where that is a spike."""
        return tuple(int(window.count(1, offset - 1, offset + 2) > 1) for offset in self._offsets)

    def _read(self, levels: tuple[int, ...]) -> tuple[int, UartError | None] | None:
        """Value and error of a frame with these levels in the middle of its bits; ``None`` without a start bit."""
        if levels[0]:
            return None
        data = levels[1 : 1 + self._data_bits]
        value = sum(level << bit for bit, level in enumerate(data))
        if not all(levels[-self._stop_bits :]):
            return value, "framing"
        if self._parity != "none" and (sum(data) + levels[1 + self._data_bits]) % 2 != (self._parity == "odd"):
            return value, "parity"
        return value, None

    def _begin(self, line: bytes, final: bool) -> tuple[int, bool] | None:
        """Where to begin, as ``at`` and ``low`` of :meth:`_frames`; ``None`` as long as that cannot be told."""
        head = line[: self._frame]
        if len(head) == self._frame and (0 not in head or 1 not in head):
            return 0, False  # idle, or in the middle of a break
        size = _SYNC_FRAMES * self._frame
        if len(line) < size and not final:
            return None
        line = line[:size]
        candidates = [0] if line[:1] == b"\x00" and self._on_grid(line) else []
        edge = line.find(b"\x01\x00", 0, self._frame + 1)
        while edge >= 0:
            candidates.append(edge + 1)
            edge = line.find(b"\x01\x00", edge + 1, self._frame + 1)
        for candidate in candidates:
            frames = self._frames(line, candidate, low=False)[0]
            if len(frames) > 1 and not any(frame.error for frame in frames):
                return candidate, False
        return 0, line[:1] == b"\x00"

    def _on_grid(self, line: bytes) -> bool:
        """Whether a start bit can begin with the very first sample (a trigger does that): do the edges say so?"""
        edge, level = 0, 1
        while (edge := line.find(level, edge, self._last)) >= 0:
            nearest = round(edge / self.samples_per_bit) * self.samples_per_bit
            if abs(edge - nearest) > 1 + 0.02 * edge:
                return False
            level ^= 1
        return True


def _check_rate(samplerate: int, baudrate: int, coarse: bool) -> None:
    per_bit = samplerate / baudrate
    least = MIN_COARSE_SAMPLES_PER_BIT if coarse else MIN_SAMPLES_PER_BIT
    if per_bit >= least:
        return
    why = (
        "below 3 samples a bit no decoder returns the text that was sent"
        if per_bit < MIN_COARSE_SAMPLES_PER_BIT
        else "at least 8 are needed, as an edge is only known to a sample and the clocks of board and analyzer differ "
        "(coarse=True tries it with a recording that cannot be made again)"
    )
    raise LogicError(
        f"{samplerate} Hz is only {per_bit:.2g} samples a bit at {baudrate} baud: {why}; "
        f"capture with a samplerate of {ceil(baudrate * MIN_SAMPLES_PER_BIT)} Hz or more"
    )

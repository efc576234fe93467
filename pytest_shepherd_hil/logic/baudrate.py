"""Which rate and which format a UART's line has, measured from its edges.

While a UART does not idle, its line has the idle level's opposite for whole numbers of bits. From the lengths of those
pulses come some candidates for the length of a bit; with each the line is decoded in the formats that are in use, the
length is fitted to the edges within the characters, and the reading with the fewest errors wins. What could be
something else than a UART is told with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic.line_format import MIN_COARSE_SAMPLES_PER_BIT, LineFormat, Parity
from pytest_shepherd_hil.logic.uart import decode_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_shepherd_hil.logic.frames import UartFrames

__all__ = ["MAX_EDGES", "STANDARD_RATES", "UartGuess", "guess_uart"]

# fmt: off
STANDARD_RATES = (
    50, 75, 110, 134.5, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 7200, 9600, 14400, 19200, 28800, 31250, 38400,
    57600, 62500, 74880, 100000, 115200, 125000, 153600, 187500, 230400, 250000, 375000, 460800, 500000, 576000, 750000,
    921600, 1000000, 1152000, 1500000, 1843200, 2000000, 2500000, 3000000, 3500000, 3686400, 4000000, 6000000, 8000000,
    10000000, 12000000,
)
# fmt: on
"""Rates that have a name, in baud; 31250 is MIDI's, 74880 the ESP8266's, 100000 that of S.BUS, 250000 that of DMX."""

_NAMED_WITHIN = 0.025
MAX_EDGES = 8_000
"""How many edges are looked at."""
_FEW_CHARACTERS = 8
_MANY_CHARACTERS = 20
_FEW_VALUES = 3
_CLEAN = 0.9
_PLAUSIBLE = 0.5
_SEEDS = 6
_SHOWN = 64
_FORMATS: tuple[tuple[int, Parity], ...] = ((8, "none"), (8, "even"), (8, "odd"), (7, "none"))


@dataclass(frozen=True, slots=True)
class UartGuess:
    """What a line most likely is."""

    baudrate: float
    """The usual rate nearest to the measured one; where none is near, the measured one, rounded. Bits a second."""
    measured: float
    """The rate as measured, in bits a second."""
    data_bits: int
    parity: Parity
    invert: bool
    """The line idles low."""
    characters: int
    """How many characters were looked at."""
    clean: float
    """How many of them had no error, 0.0 to 1.0."""
    on_grid: float
    """How many of the edges within characters are where a bit ends, 0.0 to 1.0."""
    text: str
    """The first of what was read, as UTF-8."""
    doubt: str | None = None
    """Why it might be something else; ``None`` where that is all but impossible."""

    @property
    def format(self) -> str:
        """As in ``115200 8N1``."""
        inverted = " inverted" if self.invert else ""
        return f"{self.baudrate:.9g} {self.data_bits}{self.parity[0].upper()}1{inverted}"


def guess_uart(edges: NDArray[np.int64], initial: int, total: int, samplerate: int) -> UartGuess:
    """Measure a line's rate and guess its format, from its first thousands of edges.

    Args:
        edges: sample numbers of the line's edges.
        initial: level before the first edge.
        total: how many samples there are.
        samplerate: samples a second, in Hz.

    Raises:
        LogicError: it is no UART, or that cannot be told; the message, a clause without a subject, says why.
    """
    if not len(edges):
        raise LogicError(f"stays {'high' if initial else 'low'}")
    if len(edges) < 4:
        raise LogicError(f"has only {len(edges)} edge{'s' if len(edges) > 1 else ''}, too few for a character")
    if len(edges) > MAX_EDGES:
        edges, total = edges[:MAX_EDGES], int(edges[MAX_EDGES])
    widths = np.diff(edges)
    _refuse_repetition(widths, initial, samplerate)
    if np.median(widths) < MIN_COARSE_SAMPLES_PER_BIT:
        raise LogicError(f"has pulses of {int(np.median(widths))} samples: sampled too slowly to read a UART from it")
    line = _Line(edges, initial, total, samplerate)
    best: UartGuess | None = None
    for invert in (False, True):
        for per_bit in line.bit_lengths(invert):
            for data_bits, parity in _FORMATS:
                found = line.read(per_bit, data_bits, parity, invert)
                if found is not None and (best is None or _rank(found) > _rank(best)):
                    best = found
                if best is not None and best.doubt is None and best.clean == 1.0:
                    break
    if best is not None and best.clean * best.on_grid >= _PLAUSIBLE:
        return best
    raise LogicError("has pulses that are no characters of a UART")


def _refuse_repetition(widths: NDArray[np.int64], initial: int, samplerate: int) -> None:
    odd, even = widths[::2], widths[1::2]
    if len(widths) < 7 or any(np.ptp(each) > max(2, 0.05 * float(each.mean())) for each in (odd, even)):
        return
    period = float(odd.mean() + even.mean())
    hertz = f"{samplerate / period:.6g} Hz"
    if abs(float(odd.mean() - even.mean())) <= max(2, 0.025 * period):
        raise LogicError(f"is a square wave of {hertz}")
    high = float((odd if not initial else even).mean()) / period
    raise LogicError(f"repeats at {hertz}, {high:.0%} high: a pulse-width modulation, or the same character every time")


def name_of(measured: float) -> float:
    """The usual rate that a measured one is, or the measured one with four digits."""
    nearest = min(STANDARD_RATES, key=lambda rate: abs(log(rate / measured)))
    return nearest if abs(nearest / measured - 1) <= _NAMED_WITHIN else float(f"{measured:.4g}")


def _rank(guess: UartGuess) -> tuple[bool, float, int]:
    return guess.doubt is None, round(guess.clean * guess.on_grid, 2), min(guess.characters, _FEW_CHARACTERS)


class _Line:
    """A line to be read in several ways."""

    def __init__(self, edges: NDArray[np.int64], initial: int, total: int, samplerate: int) -> None:
        self._edges = edges
        self._initial = initial
        self._total = total
        self._samplerate = samplerate

    def bit_lengths(self, invert: bool) -> list[float]:
        """Lengths of a bit, in samples, that may fit: the shorter pulses, or their half, or a third.

        Empty where the line idles at the other level.
        """
        falling = self._from_falling(invert)
        lows = np.sort((falling[1::2] - falling[: len(falling) // 2 * 2 : 2]).astype(np.float64))
        lengths: list[float] = []
        seed = 0.0
        for _ in range(_SEEDS):
            lows = lows[lows > seed]
            if not len(lows):
                break
            alike = lows[lows <= lows[0] * 1.3 + 1]
            seed = float(alike[-1])
            length = float(alike.mean())
            for parts in (1, 2, 3):
                of_parts = np.round(lows[lows < 10 * length] * parts / length) % parts
                if parts == 1 or np.mean(of_parts == 0) < 0.9:  # else a bit is longer than that
                    lengths.append(length / parts)
        every = falling[1::2] - falling[: len(falling) // 2 * 2 : 2]
        return [
            length
            for length in lengths
            if length >= 0.97 * MIN_COARSE_SAMPLES_PER_BIT
            and self._idles(length, invert)
            and _on_grid(every, length) >= _PLAUSIBLE
        ]

    def _idles(self, per_bit: float, invert: bool) -> bool:
        """Whether the line has its idle level for longer than a character, more often than the other level."""
        levels = np.diff(self._edges, prepend=0, append=self._total) > 11 * per_bit
        first, second = np.count_nonzero(levels[::2]), np.count_nonzero(levels[1::2])
        high, low = (first, second) if self._initial else (second, first)
        return bool(low >= high if invert else high >= low)

    def _from_falling(self, invert: bool) -> NDArray[np.int64]:
        return self._edges[(self._initial ^ invert) ^ 1 :]

    def read(self, per_bit: float, data_bits: int, parity: Parity, invert: bool) -> UartGuess | None:
        """The line read with that length of a bit, which is fitted to what is read."""
        for _ in range(2):
            form = LineFormat(self._samplerate, self._samplerate / max(per_bit, 3.0), data_bits, parity, coarse=True)
            edges, frames = self._decoded(self._from_falling(invert), form)
            clean = frames.codes == 0
            if np.count_nonzero(clean) < 1:
                return None
            per_bit, on_grid = _fitted(edges, frames.start_samples[clean], per_bit, form.resume)
        measured = self._samplerate / per_bit
        text = frames.data[:_SHOWN].decode("utf-8", errors="replace")
        share = float(np.mean(clean))
        doubt = None
        demanded = _CLEAN if len(frames) >= _MANY_CHARACTERS else 0.97
        if share < demanded:
            doubt = f"{1 - share:.0%} of {len(frames)} characters have errors"
        elif on_grid < demanded:
            doubt = f"{1 - on_grid:.0%} of the edges are not where a bit ends"
        elif len(frames) < _FEW_CHARACTERS:
            doubt = f"only {len(frames)} character{'s' if len(frames) > 1 else ''}"
        elif len(np.unique(frames.values)) < _FEW_VALUES:
            doubt = "always the same character, as a clock or a pulse-width modulation might look"
        if (data_bits, parity) == (8, "none") and share >= _CLEAN:
            data_bits, parity = _seven_with_parity(frames)
        return UartGuess(
            name_of(measured), measured, data_bits, parity, invert, len(frames), share, on_grid, text, doubt
        )

    def _decoded(self, falling: NDArray[np.int64], form: LineFormat) -> tuple[NDArray[np.int64], UartFrames]:
        """The line from the first start edge on that brings the fewest errors: it may begin within a character."""
        best: tuple[int, NDArray[np.int64], UartFrames] | None = None
        for skip in range(0, max(1, min(12, len(falling))), 2):
            frames, _ = decode_edges(falling[skip:], self._total, form)
            errors = int(np.count_nonzero(frames.codes))
            if best is None or errors < best[0]:
                best = errors, falling[skip:], frames
            if not errors:
                break
        assert best is not None
        return best[1:]


def _on_grid(pulses: NDArray[np.int64], per_bit: float) -> float:
    """How many of the pulses are whole numbers of bits, roughly, 0.0 to 1.0."""
    short = pulses[pulses < 9.5 * per_bit]
    off = np.abs(short - np.round(short / per_bit) * per_bit)
    return float(np.mean(off <= 0.15 * per_bit + 1)) if len(short) else 0.0


def _fitted(edges: NDArray[np.int64], starts: NDArray[np.int64], per_bit: float, length: int) -> tuple[float, float]:
    """The length of a bit that fits best to the edges within characters, and how many of those it fits, 0.0 to 1.0.

    A slow edge makes a line's pulses of one level longer; that is fitted too.
    """
    owner = np.searchsorted(starts, edges, "right") - 1
    distances = (edges - starts[np.maximum(owner, 0)]).astype(np.float64)
    inside = (owner >= 0) & (distances > 0) & (distances < length)
    rising = (np.arange(len(edges)) % 2 == 1)[inside]
    distances = distances[inside]
    bits = np.round(distances / per_bit)
    if not np.any(bits > 0):
        return per_bit, 0.0
    (fitted, late), *_ = np.linalg.lstsq(np.stack([bits, rising.astype(np.float64)], axis=1), distances, rcond=None)
    if not 0.9 * per_bit < fitted < 1.1 * per_bit:
        return per_bit, 0.0
    fits = np.abs(distances - bits * fitted - late * rising) <= 0.15 * fitted + 0.6
    return float(fitted), float(np.mean(fits))


def _seven_with_parity(frames: UartFrames) -> tuple[int, Parity]:
    """Seven bits and parity look like eight bits without; but then the eighth follows from the seven."""
    values = np.unique(frames.values[frames.codes == 0])
    odd = np.array([int(value).bit_count() & 1 for value in values])
    if len(values) < 8 or not np.any(values & 0x80) or (odd.any() and not odd.all()):
        return 8, "none"
    return 7, "odd" if odd.all() else "even"

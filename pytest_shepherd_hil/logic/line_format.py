"""What a character looks like on the line: where its bits are looked at, and what their levels mean."""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic.frames import FRAMING, PARITY

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "MIN_COARSE_SAMPLES_PER_BIT",
    "MIN_SAMPLES_PER_BIT",
    "SPIKE",
    "LineFormat",
    "Parity",
    "least_samplerate",
    "too_slow",
]

Parity = Literal["none", "odd", "even", "mark", "space"]

MIN_SAMPLES_PER_BIT = 8.0
"""Below this a live line is refused: an edge is only known to a sample, and too little of the bit is left for drift."""
MIN_COARSE_SAMPLES_PER_BIT = 3.0
"""Below this every decoder returns garbage; measured at 115200 baud between 250 and 400 kHz."""

_MORE_STOP: dict[float, tuple[float, ...]] = {1: (), 1.5: (1.0,), 2: (1.25,)}
"""Where more than one stop bit is looked at, in bits: early, as there the clocks have gone apart the furthest."""

_TABLE = 1 << 17
"""A line sampled so finely that a table of its distances would be larger goes without one."""

SPIKE = 255
"""Code of a start edge that begins no character: in the middle of its start bit the line is high."""


class LineFormat:
    """The timing of one character, in samples from its start edge.

    Each bit is looked at three times, a sixteenth of a bit (or a sample) apart around its middle, and two of the three
    decide, as in a hardware UART.

    Args:
        samplerate: samples a second, in Hz.
        baudrate: bits a second.
        data_bits: 5 to 9.
        parity: ``none``, ``odd``, ``even``, ``mark`` or ``space``.
        stop_bits: 1, 1.5 or 2; how much must be high.
        coarse: accept 3 to 8 samples a bit.

    Raises:
        LogicError: too few samples a bit, or a setting that no UART has.

    Attributes:
        samples_per_bit: how finely the line is sampled.
        resume: the middle of the last bit: no sooner does the next character begin.
        window: how many samples decide on a character.
        length: of the whole character; low for so long is a break.
        start_decided: a start bit that is low for longer than this is one for sure.
        start_points: where the start bit is looked at.
        bits: how many bits are looked at.
        all_points: all of them in all three fields.
        values: what the data bits say, for each pattern of levels.
        codes: the error, for each pattern of levels.
    """

    def __init__(
        self,
        samplerate: int,
        baudrate: float = 115200,
        data_bits: int = 8,
        parity: Parity = "none",
        stop_bits: float = 1,
        *,
        coarse: bool = False,
    ) -> None:
        if (
            not 0 < baudrate < inf
            or data_bits not in range(5, 10)
            or parity not in get_args(Parity)
            or stop_bits not in _MORE_STOP
        ):
            raise LogicError(
                f"no UART has baudrate={baudrate}, data_bits={data_bits}, parity={parity!r}, stop_bits={stop_bits}; "
                "give a positive baudrate, 5 to 9 data bits, parity 'none', 'odd', 'even', 'mark' or 'space', and "
                "1, 1.5 or 2 stop bits"
            )
        _check_rate(samplerate, baudrate, coarse)
        self.samples_per_bit = samplerate / baudrate
        ahead = 1 + data_bits + (parity != "none")
        centres = [bit + 0.5 for bit in range(ahead + 1)] + [ahead + at for at in _MORE_STOP[stop_bits]]
        # an edge seen at sample s happened between s - 1 and s, hence the half sample
        points = [round(centre * self.samples_per_bit - 0.5) for centre in centres]
        apart = max(1, round(self.samples_per_bit / 16))
        self.bits = len(points)
        self.resume = points[-1]
        self.window = points[-1] + apart + 1
        self.length = ceil((ahead + stop_bits) * self.samples_per_bit)
        self.start_points = (points[0] - apart, points[0], points[0] + apart)
        self.start_decided = points[0] + apart
        looked_at = [point + shift for shift in (-apart, 0, apart) for point in points]
        order = sorted(range(len(looked_at)), key=looked_at.__getitem__)
        self._points = np.array(looked_at)[order]
        # an edge changes every point from it on
        self._from_point = np.array([sum(1 << bit for bit in order[at:]) for at in range(len(order) + 1)])
        self.all_points = (1 << len(order)) - 1
        self._table = self._slowly(np.arange(self.window + 1)) if self.window < _TABLE else None
        self.values, self.codes = _meanings(data_bits, parity, len(points))

    def turned(self, distances: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which points edges change, for their distances from the start edge: three fields of :attr:`bits` bits.

        Args:
            distances: in samples, :attr:`window` at most; an edge so far off changes none.
        """
        return self._table[distances] if self._table is not None else self._slowly(distances)

    def _slowly(self, distances: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self._from_point[np.searchsorted(self._points, distances)]
        return found

    def majority(self, three: NDArray[np.int64]) -> NDArray[np.int64]:
        """The level of each bit, from three fields as :meth:`turned` has them."""
        first = three & ((1 << self.bits) - 1)
        second = three >> self.bits & ((1 << self.bits) - 1)
        third = three >> 2 * self.bits
        return first & second | second & third | first & third


def _meanings(data_bits: int, parity: Parity, bits: int) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    levels = np.arange(1 << bits)
    values = levels >> 1 & ((1 << data_bits) - 1)
    codes = np.zeros(1 << bits, np.uint8)
    stops_from = 1 + data_bits + (parity != "none")
    if parity != "none":
        ones = sum((levels >> bit & 1 for bit in range(1, 1 + data_bits)), np.zeros_like(levels))
        expected = {"even": ones & 1, "odd": ~ones & 1, "mark": 1, "space": 0}[parity]
        codes[(levels >> (1 + data_bits) & 1) != expected] = PARITY
    stops = (1 << bits) - (1 << stops_from)
    codes[(levels & stops) != stops] = FRAMING
    codes[levels & 1 == 1] = SPIKE
    return values.astype(np.uint16), codes


def least_samplerate(baudrate: float) -> int:
    """The samplerate in Hz that a live line needs."""
    return ceil(baudrate * MIN_SAMPLES_PER_BIT)


def too_slow(samplerate: int, baudrate: float) -> str:
    """Why a line that is sampled so slowly cannot be read; without what to do about it."""
    per_bit = samplerate / baudrate
    why = (
        "below 3 samples a bit no decoder returns the text that was sent"
        if per_bit < MIN_COARSE_SAMPLES_PER_BIT
        else "at least 8 are needed, as an edge is only known to a sample and the clocks of board and analyzer differ"
    )
    return f"{samplerate} Hz is only {per_bit:.2g} samples a bit at {baudrate:.9g} baud: {why}"


def _check_rate(samplerate: int, baudrate: float, coarse: bool) -> None:
    per_bit = samplerate / baudrate
    if per_bit >= (MIN_COARSE_SAMPLES_PER_BIT if coarse else MIN_SAMPLES_PER_BIT):
        return
    tries = " (coarse=True tries it with a recording that cannot be made again)"
    raise LogicError(
        f"{too_slow(samplerate, baudrate)}{tries if per_bit >= MIN_COARSE_SAMPLES_PER_BIT else ''}; "
        f"capture with a samplerate of {least_samplerate(baudrate)} Hz or more"
    )

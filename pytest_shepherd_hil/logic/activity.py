"""What a channel did, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["activity", "duration_text", "frequency_text", "samplerate_text"]

_MIN_EDGES = 6
_PERIODS = 200
_SAME = 0.05
_MOSTLY = 0.8
_LEVELS = ("low", "high")


def activity(
    edges: NDArray[np.int64], initial: int, total: int, samplerate: int, *, moment: int | None = None, called: str = ""
) -> str:
    """What a channel did, and whether it still did it at the end: ``10.0 Hz until 0.35 s before the incident, then
    still (low)``.

    Args:
        edges: sample numbers of its edges.
        initial: its level before the first.
        total: how many samples there are.
        samplerate: in Hz.
        moment: sample number to tell times from, which may lie outside of the capture; else its end is.
        called: what happened then: ``the incident``.
    """
    if not total:
        return "no samples"
    if not len(edges):
        return f"still ({_LEVELS[initial]}) all the time"
    where = _Where(samplerate, total if moment is None else moment, called if moment is not None else "the end")
    level = _LEVELS[(initial + len(edges)) % 2]
    last = int(edges[-1])
    hertz = _frequency(edges, samplerate)
    if hertz is None:
        count = "1 edge" if len(edges) == 1 else f"{len(edges)} edges"
        return f"{count}, {'' if len(edges) == 1 else 'the last '}{where.of(last)}, then {level}"
    usual = 1.5 * samplerate / hertz
    text = frequency_text(hertz)
    if int(edges[0]) > usual:
        text = f"still ({_LEVELS[initial]}) until {where.of(int(edges[0]))}, then {text}"
    if total - last > usual:
        return f"{text} until {where.of(last)}, then still ({level})"
    return f"{text} to the end" if int(edges[0]) > usual else f"{text} all the time"


class _Where:
    """Times as seen from a moment."""

    def __init__(self, samplerate: int, moment: int, called: str) -> None:
        self._samplerate = samplerate
        self._moment = moment
        self._called = called

    def of(self, sample: int) -> str:
        seconds = (sample - self._moment) / self._samplerate
        if seconds == 0:
            return f"at {self._called}"
        return f"{duration_text(abs(seconds))} {'before' if seconds < 0 else 'after'} {self._called}"


def _frequency(edges: NDArray[np.int64], samplerate: int) -> float | None:
    """In Hz, if it is mostly the same from one period to the next, of the last ones; None if it is not."""
    if len(edges) < _MIN_EDGES:
        return None
    recent = edges[-(2 * _PERIODS + 2) :]
    periods = recent[2:] - recent[:-2]
    usual = float(np.median(periods))
    same = np.abs(periods - usual) <= max(_SAME * usual, 1)
    return samplerate / float(periods[same].mean()) if same.mean() >= _MOSTLY else None


def frequency_text(hertz: float) -> str:
    """A frequency to three digits, with its unit."""
    for factor, unit in ((1e6, "MHz"), (1e3, "kHz")):
        if hertz >= 0.9995 * factor:
            return f"{_three(hertz / factor)} {unit}"
    return f"{_three(hertz)} Hz"


def samplerate_text(samplerate: int) -> str:
    """A samplerate as it is set: ``1 MHz``, ``625 kHz``."""
    factor, unit = next((each for each in ((10**6, "MHz"), (10**3, "kHz")) if samplerate >= each[0]), (1, "Hz"))
    return f"{samplerate / factor:.7g} {unit}"


def duration_text(seconds: float) -> str:
    """A duration to three digits at most, with its unit: ``0.35 s``, ``12 ms``, ``8.7 µs``."""
    for factor, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= 0.0995 * factor:
            return f"{_short(seconds / factor)} {unit}"
    return f"{_short(seconds * 1e9)} ns"


def _three(value: float) -> str:
    return f"{value:.{max(0, 2 - len(str(int(value))) + 1)}f}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{float(f'{value:.2g}' if value < 9.95 else f'{value:.3g}'):g}"

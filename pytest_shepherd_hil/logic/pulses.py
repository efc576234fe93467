"""What a channel's edges say: pulses, how often they come, and how long the level is high."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PULSE", "duty_of", "frequency_of", "pulses_of"]

PULSE = np.dtype([("start_sample", np.int64), ("duration_s", np.float64), ("level", np.uint8)])
"""One pulse: the first sample of it, how long it lasts in seconds, and its level, 0 or 1."""


def pulses_of(edges: NDArray[np.int64], initial: int, samplerate: int, level: int | None) -> NDArray[np.void]:
    """What lies between two edges, in order; only one level's where that is given.

    Args:
        edges: sample numbers.
        initial: level before the first edge.
        samplerate: in Hz.
        level: 0, 1 or ``None`` for both.
    """
    found = np.empty(max(len(edges) - 1, 0), PULSE)
    if len(found):
        found["start_sample"] = edges[:-1]
        found["duration_s"] = np.diff(edges) / samplerate
        found["level"][::2] = initial ^ 1
        found["level"][1::2] = initial
    return found if level is None else found[found["level"] == level]


def frequency_of(edges: NDArray[np.int64], samplerate: int) -> float:
    """Whole periods by the time that they take, in Hz; 0.0 where there is no whole period."""
    periods = (len(edges) - 1) // 2
    return periods * samplerate / float(edges[2 * periods] - edges[0]) if periods > 0 else 0.0


def duty_of(edges: NDArray[np.int64], initial: int, total: int) -> float:
    """How much of the whole periods the level is high, 0.0 to 1.0; of all samples where there is no whole period."""
    periods = (len(edges) - 1) // 2
    if periods > 0:
        whole = edges[: 2 * periods + 1]
        first = float(np.sum(whole[1::2] - whole[:-1:2]) / (whole[-1] - whole[0]))
        return first if initial == 0 else 1.0 - first
    if not total:
        return 0.0
    bounds = np.concatenate([[0], edges, [total]])
    return float(np.sum(np.diff(bounds)[1 - initial :: 2]) / total)

"""A channel's level as the outline of an SVG path, of bounded size however many edges there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = ["HIGH", "LOW", "bars", "wave"]

HIGH, LOW = 10, 90
"""Where the two levels are, in a box 100 high."""


def wave(edges: NDArray[np.integer], initial: int, start: float, end: float, columns: int) -> tuple[str, str]:
    """The level between two sample numbers, in a box of ``columns`` by 100.

    A column with one edge has a step in it; one with more is part of a filled band.

    Args:
        edges: sample numbers of all the channel's edges.
        initial: its level before the first.
        start: the box's left end, which may lie between samples.
        end: its right end.
        columns: how finely to draw.

    Returns:
        Two paths, of the line and of the bands.
    """
    places = np.ceil(start + np.arange(columns + 1) * ((end - start) / columns))
    bounds = np.searchsorted(edges, places.astype(edges.dtype))  # of their own kind: else they would all be copied
    level = (initial + int(bounds[0])) % 2
    counts = np.diff(bounds)
    after = (level + np.cumsum(counts)) % 2
    busy = _busy(counts)
    line, bands = [f"M0 {_y(level)}"], []
    at = drawn = 0
    for place in np.flatnonzero(counts).tolist():
        if place < at:
            continue
        line.append(f"H{place}" if place > drawn else "")
        if busy[place]:
            idle = np.flatnonzero(~busy[place:])
            at = place + int(idle[0]) if len(idle) else columns
            bands.append(f"M{place} {HIGH}h{at - place}v{LOW - HIGH}h{place - at}z")
            line.append(f"M{at} {_y(int(after[at - 1]))}")
        else:
            at = place + 1
            line.append(f"V{_y(int(after[place]))}")
        drawn = at if busy[place] else place
    line.append(f"H{columns}" if drawn < columns else "")
    return "".join(line), "".join(bands)


def _busy(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Columns that are part of a band: more edges than can be told apart there, or next to others of that kind."""
    near = np.convolve(counts, np.ones(3, np.int64), "same")
    busy = (counts > 1) | (counts > 0) & (near > 2)
    for gap in (1, 2):
        left = np.concatenate([np.zeros(1, np.bool_), busy[:-1]])
        right = np.concatenate([busy[gap:], np.zeros(gap, np.bool_)])
        busy |= left & right
    return busy


def _y(level: int) -> int:
    return HIGH if level else LOW


def bars(spans: Iterable[tuple[float, float]], start: float, end: float, columns: int) -> str:
    """Spans of samples as bars in a box of ``columns`` by 100: one path."""
    covered = np.zeros(columns, np.int8)
    scale = columns / (end - start)
    for begin, stop in spans:
        if stop >= start and begin <= end:
            left = min(max(int((begin - start) * scale), 0), columns - 1)
            covered[left : max(int((stop - start) * scale), left + 1)] = 1
    turns = np.flatnonzero(np.diff(covered, prepend=0, append=0)).tolist()
    return "".join(
        f"M{left} 0h{right - left}v100h{left - right}z" for left, right in zip(turns[::2], turns[1::2], strict=True)
    )

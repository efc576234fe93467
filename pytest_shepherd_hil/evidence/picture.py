"""The picture of a capture around an incident: what the pins did, and what the console said, on one time line.

An overview and, below it, the moments around the incident's first line. An SVG that needs nothing else: no scripts, no
fonts, light and dark, its text of the same size whatever the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from pytest_shepherd_hil.evidence.panel import MOST_ROWS, SANS_PER_PX, Panel
from pytest_shepherd_hil.evidence.svg import STYLE, clean, label, rect, stretched, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Mark", "Picture", "Said", "Trace", "draw"]

MOST_CHANNELS = 16
_COLUMNS = 16_000
"""So many in all, over channels and panels: it bounds the picture's size."""
_WORTH = 4
"""A zoom that shows more than a quarter of the overview is not worth it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the console, and where it lies."""

    start: float
    end: float
    text: str
    """Without the kernel's prefix."""
    bad: bool = False
    """It is a line of an incident."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment worth a line over all channels."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A channel."""

    name: str
    words: str
    """What it did."""
    brief: str
    """The same in less room."""
    edges: NDArray[np.integer]
    """Sample numbers."""
    initial: int
    """The level before the first."""
    console: bool = False
    """It carries the console."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be seen. Moments are sample numbers, which may lie outside of the capture."""

    title: str
    notes: Sequence[str]
    """Rows below the title; where there is little room, only the first."""
    samplerate: int
    total: int
    """How many samples there are."""
    traces: Sequence[Trace]
    said: Sequence[Said] = ()
    marks: Sequence[Mark] = ()
    zero: float = 0.0
    """What times are counted from: the first line of the incident, where there is one."""
    incidents: Sequence[tuple[float, float]] = ()
    """From the first line of each to its last; the first one's is ``zero``."""
    unsure: float = 0.0
    """How well lines and samples are tied, in samples."""
    character: float = 0.0
    """How long a character of the console is, in samples."""


def draw(picture: Picture) -> str:
    """Draw it.

    Returns:
        A whole SVG document, of 16 channels at most; below 200 kB whatever they did.
    """
    active = [trace for trace in picture.traces if len(trace.edges) or trace.console]
    still = [trace for trace in picture.traces if not (len(trace.edges) or trace.console)]
    kept = {id(trace) for trace in [*active, *still][:MOST_CHANNELS]}
    traces = sorted((trace for trace in picture.traces if id(trace) in kept), key=lambda trace: trace.console)
    columns = max(min(_COLUMNS // (2 * max(len(traces), 1)), 1600), 400)
    hidden = len(picture.traces) - len(traces)
    notes = [*picture.notes, *([f"{hidden} more channels are not shown"] if hidden else [])]
    parts, top = _header(picture.title, notes)
    zoom = _zoom(picture)
    whole = Panel(picture, 0, picture.total, top, columns)
    whole.fill(traces, words=True, rows=zoom is None)
    bottom = whole.bottom
    if zoom is not None:
        left, right = whole.x(zoom[0]), max(whole.x(zoom[1]), whole.x(zoom[0]) + 0.15)
        near = Panel(picture, *zoom, bottom + 20, columns)
        near.fill(traces, words=False, rows=True)
        funnel = f'<path d="M{left * 10:.1f} 0H{right * 10:.1f}L1000 92V100H0V92z" class="zoom"/>'
        parts += [rect(left, right, whole.lanes_top - 4, whole.axis, "zoom")]
        parts += [stretched(whole.axis, near.top - whole.axis, 1000, funnel), *whole.parts, *near.parts]
        bottom = near.bottom
    else:
        parts += whole.parts
    height = bottom + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="{height:g}" role="img">'
        f"<title>{escape(clean(picture.title, 300))}</title><style>{STYLE}</style>"
        '<rect width="100%" height="100%" class="bg"/>'
        f'<svg x="1.5%" width="97%" height="{height:g}" overflow="visible">{"".join(parts)}</svg></svg>\n'
    )


def _header(title: str, notes: Sequence[str]) -> tuple[list[str], float]:
    """Title and notes for each class of widths, and how high they are at most."""
    parts, bottom = [], 0.0
    for width, per_px in (("n", 1 / 7.3), ("w", 1 / 8.3), ("x", 1 / 8.3)):
        y = 24.0
        for row in wrapped(title, width, per_px=per_px, most=3):
            parts.append(label(0, y, row, f"title {width}"))
            y += 17
        shown = notes[:1] if width == "n" else ["  ·  ".join(notes)]
        for row in wrapped("".join(shown), width, per_px=SANS_PER_PX, most=1 if width == "n" else 2):
            parts.append(label(0, y + 2, row, width))
            y += 15
        bottom = max(bottom, y)
    return parts, bottom


def _zoom(picture: Picture) -> tuple[float, float] | None:
    """The moments around the incident's first line: it, a few lines before and some after."""
    zero = picture.zero
    if not picture.incidents or not 0 <= zero <= picture.total:
        return None
    usual = 60 * (picture.character or picture.samplerate / 11520)
    before = [line for line in picture.said if line.start < zero][-3:]
    after = [line for line in picture.said if line.start >= zero][: MOST_ROWS - 4]
    start = max(before[0].start if before else zero, zero - 4 * usual)
    end = max(min(after[-1].end if after else zero, zero + 14 * usual), zero + 2 * usual)
    margin = max(0.04 * (end - start), usual / 4)
    start, end = max(start - margin, 0), min(end + margin, picture.total)
    return (start, end) if start < end and picture.total > _WORTH * (end - start) else None

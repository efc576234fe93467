"""One stretch of time in a capture's picture: channels, marks, console lines and an axis below each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.evidence.svg import clean, fitting, label, rect, stretched, ticks, vertical
from pytest_shepherd_hil.evidence.wave import bars, wave
from pytest_shepherd_hil.logic.activity import duration_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.evidence.picture import Picture, Said, Trace

__all__ = ["MOST_ROWS", "SANS_PER_PX", "Panel"]

MOST_ROWS = 16
"""Lines of the console that are shown as text."""
MOST_MARKS = 12
MOST_INCIDENTS = 5
"""Incidents whose lines are named."""
MOST_WASHED = 20
MONO_PER_PX = 1 / 6.65
SANS_PER_PX = 1 / 6.1
_ROW_PX = 15
_MARK_PX = 13
_MARK_ROWS = 3
_APART = 3.0
"""A last line that is no further from the first one, in per cent, is not named."""
_MINUS = "\N{MINUS SIGN}"
_UNITS = ((1.0, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns"))


class Panel:
    """From sample ``start`` to sample ``end``, drawn from ``top`` on. Where things are is known once it is filled.

    Attributes:
        parts: what has been drawn, in its order.
        lanes_top: where the channels begin, in pixels.
        axis: where the time axis is.
        bottom: where it ends.
    """

    def __init__(self, picture: Picture, start: float, end: float, top: float, columns: int) -> None:
        self.picture = picture
        self.start, self.end = start, max(end, start + 1)
        self.top = top
        self._columns = columns
        self._under: list[str] = []
        self._over: list[str] = []
        self.lanes_top = self.axis = self.bottom = top

    @property
    def parts(self) -> list[str]:
        return [*self._under, *self._over]

    def x(self, sample: float) -> float:
        """Where a sample lies, in per cent; at the edge, where it lies beyond."""
        return min(max((sample - self.start) / (self.end - self.start), 0.0), 1.0) * 100

    def fill(self, traces: Sequence[Trace], *, words: bool, rows: bool) -> None:
        """Draw it.

        Args:
            traces: the channels, the console's last.
            words: say beside each what it did.
            rows: show the console's lines as text, unless they are too many.
        """
        picture = self.picture
        span = duration_text((self.end - self.start) / picture.samplerate)
        title = f"the capture, {span}" if words else f"{span} around the first line of the incident"
        self._over.append(label(0, self.top + 12, title, "name"))
        marks = self._placed_marks()
        y = self.top + 20 + _MARK_PX * (1 + max((row for *_, row in marks), default=0))
        self.lanes_top = y = y + 4
        tall = 34 if len(traces) <= 4 else 24 if len(traces) <= 8 else 16
        for trace in traces:
            y = self._lane(trace, y, tall, words=words)
        if picture.said:
            if not any(trace.console for trace in traces):
                y += 14
                self._over.append(label(0, y, "console", "name"))
                y += 4
            y = self._bars(y)
        lanes_bottom = y
        self._moments(lanes_bottom)
        self._labels(marks)
        said = [line for line in picture.said if self.start < line.end and line.start < self.end and line.text]
        if len(said) > MOST_ROWS and not words:  # of those beside the incident's first line, a few before it
            before = sum(line.start < picture.zero for line in said)
            begin = max(min(before - 3, len(said) - MOST_ROWS), 0)
            said = said[begin : begin + MOST_ROWS]
        if rows and len(said) <= MOST_ROWS:
            y = self._rows(said, y)
        self.axis = y + 6
        self._draw_axis(lanes_bottom)
        self.bottom = self.axis + 24

    def _lane(self, trace: Trace, y: float, tall: float, *, words: bool) -> float:
        y += 14
        name = clean(trace.name, 40)
        self._over.append(label(0, y, name, "name"))
        if words:
            beside = 7.4 * len(name) + 12
            text = fitting(0, y, trace.words, "", room=1.0, per_px=SANS_PER_PX, move=beside, brief=trace.brief)
            self._over.append(text)
        line, bands = wave(trace.edges, trace.initial, self.start, self.end, self._columns)
        kind = "uart" if trace.console else "wire"
        filled = f'<path d="{bands}" class="{kind}s"/>' if bands else ""
        self._over.append(stretched(y + 4, tall, self._columns, f'{filled}<path d="{line}" class="{kind}"/>'))
        return y + 8 + tall

    def _bars(self, y: float) -> float:
        """Where the console's lines lie."""
        drawn = ""
        for bad, kind in ((False, "bar"), (True, "badbar")):
            spans = [(line.start, line.end) for line in self.picture.said if line.bad == bad]
            if path := bars(spans, self.start, self.end, self._columns):
                drawn += f'<path d="{path}" class="{kind}"/>'
        self._over.append(stretched(y, 5, self._columns, drawn))
        return y + 9

    def _rows(self, said: Sequence[Said], y: float) -> float:
        """The console's lines as text, each in a row of its own that begins, or ends, where it was said."""
        top = y - 4
        for line in said:
            y += _ROW_PX
            x = self.x(line.start)
            right = x <= 45
            self._under.append(vertical(x, top, y - 4, "badlead" if line.bad else "lead"))
            kind = ("said bad" if line.bad else "said") + ("" if right else " end")
            room = (100 - x if right else x) / 100
            self._over.append(fitting(x, y, line.text, kind, room=room, per_px=MONO_PER_PX, move=5 if right else -5))
        return y + 5

    def _placed_marks(self) -> list[tuple[float, str, str, int]]:
        """Labels for moments: sample, text, class, and a row in which they do not overlap."""
        picture = self.picture
        several = len(picture.incidents) > 1
        wanted: list[tuple[float, str, str]] = []
        for number, (first, last) in enumerate(picture.incidents[:MOST_INCIDENTS], 1):
            wanted.append((first, f"incident {number}: first line" if several else "incident: first line", "bad"))
            if self.x(last) - self.x(first) > _APART:
                wanted.append((last, f"last line of {number}" if several else "last line", "bad wide"))
        wanted += [(mark.at, clean(mark.text, 40), "wide") for mark in picture.marks[:MOST_MARKS]]
        taken: list[list[tuple[float, float]]] = [[] for _ in range(_MARK_ROWS)]
        placed = []
        for at, text, kind in wanted:
            if not self.start <= at <= self.end:
                continue
            width = (len(text) / SANS_PER_PX + 8) / 7
            left = self.x(at) if self._to_the_right(at) else self.x(at) - width
            for row, others in enumerate(taken):
                if all(left + width < begin or left > end for begin, end in others):
                    others.append((left, left + width))
                    placed.append((at, text, kind, row))
                    break
        return placed

    def _to_the_right(self, sample: float) -> bool:
        return self.x(sample) <= 55

    def _labels(self, marks: Sequence[tuple[float, str, str, int]]) -> None:
        for at, text, kind, row in marks:
            y = self.top + 29 + _MARK_PX * row
            line = "first" if kind.startswith("bad") else "mark"
            self._over.append(vertical(self.x(at), y - 8, self.lanes_top, f"{line} wide" if "wide" in kind else line))
            right = self._to_the_right(at)
            self._over.append(label(self.x(at), y, text, kind if right else f"{kind} end", move=4 if right else -4))

    def _moments(self, bottom: float) -> None:
        """The incidents' time, and lines at what is marked."""
        picture, top = self.picture, self.lanes_top
        for first, last in picture.incidents[:MOST_WASHED]:
            if last < self.start or first > self.end:
                continue
            self._under.append(rect(self.x(first), self.x(last), top, bottom, "wash", least=0.1))
            begin, end = self.x(first - picture.unsure), self.x(first + picture.unsure)
            if end - begin > 0.2:
                self._under.append(rect(begin, end, top, bottom, "unsure"))
            for at, kind in ((last, "last"), (first, "first")):
                if self.start <= at <= self.end:
                    self._under.append(vertical(self.x(at), top, bottom, kind))
        for mark in picture.marks[:MOST_MARKS]:
            if self.start <= mark.at <= self.end:
                self._under.append(vertical(self.x(mark.at), top, bottom, "mark"))

    def _draw_axis(self, lanes_bottom: float) -> None:
        picture, y = self.picture, self.axis
        begin, end = ((edge - picture.zero) / picture.samplerate for edge in (self.start, self.end))
        times, step = ticks(begin, end, 8)
        factor, unit = next(found for found in _UNITS if step * found[0] >= 0.0999 or found[1] == "ns")
        digits = max(0, -int(f"{step * factor:e}".partition("e")[2]))
        self._over.append(f'<line x1="0" x2="100%" y1="{y:g}" y2="{y:g}" class="rule"/>')
        for time in times:
            x = min(max((time - begin) / (end - begin), 0), 1) * 100
            zero = abs(time) < step / 2
            sign = "" if zero else "+" if time > 0 else _MINUS
            kind = "end" if x > 97 else "mid" if x > 3 else ""
            often = "" if zero or round(time / step) % 2 == 0 else " wide"
            self._under.insert(0, vertical(x, self.lanes_top, lanes_bottom, "grid"))
            self._over.append(vertical(x, y, y + 4, "rule"))
            shown = "0" if zero else f"{abs(time) * factor:.{digits}f}"
            self._over.append(label(x, y + 16, f"{sign}{shown} {unit}", f"{kind}{often}".strip()))

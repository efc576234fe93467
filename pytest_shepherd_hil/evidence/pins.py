"""What the pins did around an incident: the part of the capture worth keeping, its picture, and it all in words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.evidence.picture import Mark, Picture, Said, Trace, draw
from pytest_shepherd_hil.logic.activity import activity, duration_text, samplerate_text
from pytest_shepherd_hil.text import first_line, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.console.lines import ConsoleLine
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.logic.capture import Capture
    from pytest_shepherd_hil.logic.time_line import TimeLine

__all__ = ["Pins", "look"]

BEFORE_S, AFTER_S = 2.5, 0.75
"""How much of the capture is kept before an incident's first line and after its last; host time is not exact."""
LONGEST_S = 10.0
MOST_BYTES = 16 << 20
_BEFORE = 0.7
_MOST_LINES = 4000
_AROUND_NS = 4_000_000_000
_MOST_WORDS = 8
_FENCE = re.compile(r"hil: fence [\w-]+$")
_THEN = "the incident"


@dataclass(frozen=True, slots=True)
class Pins:
    """What there is to keep and to say of a capture."""

    capture: Capture
    """The part that is kept."""
    words: tuple[str, ...]
    """How samples and console are tied, and what each channel did at the end."""
    picture: str
    """An SVG document."""
    covers: bool
    """Whether the incident's first line lies in it."""


@dataclass(frozen=True, slots=True)
class _Tied:
    """Incidents and lines as samples of the part that is kept."""

    time_line: TimeLine | None
    problem: str | None
    spans: tuple[tuple[int, int], ...]
    said: tuple[Said, ...]
    marks: tuple[Mark, ...]


def look(
    capture: Capture,
    lines: Sequence[ConsoleLine],
    incidents: Sequence[Incident],
    *,
    title: str,
    test: str,
    baudrate: float = 115200,
    channel: str | None = None,
    began_ns: int | None = None,
) -> Pins:
    """Look at a capture in the light of what the console said; the part looked at is bounded, and so the time is.

    Args:
        capture: what the analyzer has.
        lines: the console in the test's time.
        incidents: the test's; the first one is what times are counted from.
        title: what happened, in a line.
        test: the test's node id.
        baudrate: of the console, in bits a second.
        channel: the one that carries it, where that is known.
        began_ns: when the test began, in ``time.monotonic_ns()``.
    """
    spans = [span for incident in incidents if (span := _lines_of(incident, lines)) is not None]
    part = _part(capture, spans)
    tied = _tie(part, lines, spans, baudrate, channel, began_ns)
    zero = tied.spans[0][0] if tied.spans else None
    covers = zero is not None and 0 <= zero < len(part)
    console = tied.time_line.channel if tied.time_line is not None else None
    traces = [_trace(part, name, console, zero) for name in part.channels]
    kept = f"{_span(part.duration_s)} at {samplerate_text(part.samplerate)}"
    tie = f"samples and console are tied {tied.time_line}" if tied.time_line is not None else tied.problem or ""
    where = _where(part, zero)
    words = [f"capture.sr, {kept}{where}; {tie}"]
    words += [f"{trace.name}: {trace.words}" for trace in traces if not trace.console]
    if len(words) > _MOST_WORDS:
        words[_MOST_WORDS:] = [f"… {len(words) - _MOST_WORDS} more channels: capture.svg"]
    when = f"0 is the first line of the incident, sample {zero}" if zero is not None else "0 is the first sample"
    tied_how = f"tied {tied.time_line}" if tied.time_line is not None else tie
    notes = [tied_how, when + where, f"{samplerate_text(part.samplerate)}, {test}"]
    scene = Picture(
        title,
        notes,
        part.samplerate,
        len(part),
        traces,
        tied.said,
        tied.marks,
        zero=zero if covers and zero is not None else 0.0,
        incidents=tied.spans if covers else (),
        unsure=tied.time_line.within_s * part.samplerate if tied.time_line is not None else 0.0,
        character=10 * part.samplerate / baudrate,
    )
    return Pins(part, tuple(printable(text) for text in words), draw(scene), covers)


def _lines_of(incident: Incident, lines: Sequence[ConsoleLine]) -> tuple[ConsoleLine, ConsoleLine] | None:
    """The first and the last line of an incident, as far as they are still known."""
    if not lines:
        return None
    first, last = incident.first_line - lines[0].number, incident.last_line - lines[0].number
    if not 0 <= first < len(lines):
        return None
    return lines[first], lines[min(max(last, first), len(lines) - 1)]


def _part(capture: Capture, spans: Sequence[tuple[ConsoleLine, ConsoleLine]]) -> Capture:
    """What to keep: what lies around the incident by host time; without one, the end."""
    rate, total = capture.samplerate, len(capture)
    most = min(MOST_BYTES // capture.unitsize, round(LONGEST_S * rate))
    begin, end = total - most, total
    if spans and capture.host_ns is not None:
        first = (spans[0][0].time_ns - capture.host_ns) * rate // 1_000_000_000
        last = (max(line.time_ns for _, line in spans) - capture.host_ns) * rate // 1_000_000_000
        begin, end = first - round(BEFORE_S * rate), last + round(AFTER_S * rate)
        if end - begin > most:
            begin = max(begin, first - round(_BEFORE * most))
            end = begin + most
        if end <= 0 or begin >= total:  # it lies elsewhere: the end that is nearest to it
            near = min(most, round(BEFORE_S * rate))
            begin, end = (0, near) if end <= 0 else (total - near, total)
    begin, end = max(begin, 0), min(end, total)
    return capture.between(begin / rate, end / rate)


def _tie(
    part: Capture,
    lines: Sequence[ConsoleLine],
    spans: Sequence[tuple[ConsoleLine, ConsoleLine]],
    baudrate: float,
    channel: str | None,
    began_ns: int | None,
) -> _Tied:
    near = lines
    if part.host_ns is not None:
        until = part.host_ns + round(part.duration_s * 1e9) + _AROUND_NS
        near = [line for line in lines if part.host_ns - _AROUND_NS <= line.time_ns <= until]
    near = near[-_MOST_LINES:]
    try:
        time_line = part.time_line(near, channel=channel, baudrate=baudrate)
    except LogicError as error:
        return _Tied(None, first_line(error), (), (), ())
    bad = [(first.number, last.number) for first, last in spans]
    said: list[Said] = []
    marks: list[Mark] = []
    for line in near:
        at = time_line.at(line)
        if at is None:
            continue
        hot = any(first <= line.number <= last for first, last in bad)
        said.append(Said(at.start_sample, at.end_sample, line.message, hot))
        if _FENCE.search(line.message):
            marks.append(Mark(at.end_sample, "fence"))
    places = []
    for first, last in spans:
        begin, end = time_line.at(first), time_line.at(last)
        start = begin.start_sample if begin is not None else time_line.about(first)[0]
        places.append((start, max(end.end_sample if end is not None else time_line.about(last)[1], start)))
    if began_ns is not None:
        marks.insert(0, Mark(time_line.sample_at(began_ns), "test began"))
    return _Tied(time_line, None, tuple(places), tuple(said), tuple(marks))


def _trace(part: Capture, name: str, console: str | None, zero: int | None) -> Trace:
    bit = part.bit(name)
    edges = part.edges(name)
    initial = part.samples[bit // 8] >> bit % 8 & 1 if part.samples else 0
    words = activity(edges, initial, len(part), part.samplerate, moment=zero, called=_THEN)
    called = f"{part.names[name]} ({name})" if name in part.names else name
    if name == console:
        words = "carries the console"
    return Trace(
        printable(called, 60), words, words.replace(f" {_THEN}", ""), edges.astype(np.int32), initial, name == console
    )


def _where(part: Capture, zero: int | None) -> str:
    """Said only where the incident does not lie in it."""
    if zero is None or 0 <= zero < len(part):
        return ""
    if zero in (-1, len(part)):  # all that is known is that it is not in it
        return f", {'begins after' if zero < 0 else 'ends before'} {_THEN}"
    if zero < 0:
        return f", begins {duration_text(-zero / part.samplerate)} after {_THEN}"
    return f", ends {duration_text((zero - len(part) + 1) / part.samplerate)} before {_THEN}"


def _span(seconds: float) -> str:
    return duration_text(seconds) if seconds else "empty"

"""What must hold for any bytes whatsoever that come out of a console."""

from __future__ import annotations

import json
import re
import zlib
from contextlib import contextmanager
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING
from unittest import mock

from pytest_shepherd_hil.kernel import report, rows, scan
from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.incident import Incident, Severity
from pytest_shepherd_hil.kernel.lines import LineSplitter, parse_line
from pytest_shepherd_hil.kernel.prefilter import Prefilter
from pytest_shepherd_hil.kernel.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["RULES", "check_incident", "check_log", "check_order", "cuts_of", "last_words", "lines_of", "pieces"]

RULES = load_rules()
_IDS = {rule.id for rule in RULES}
_HELD_BACK = {rule.id for rule in RULES if rule.remains}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What a terminal acts on. A tab is left in: the kernel writes some, and they are shown as they are."""
_MAX_TITLE = 4 * rows.MAX_LINE_CHARS


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The same bytes in pieces; a cut that is too far is taken modulo their number."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


def cuts_of(data: bytes) -> list[int]:
    """Some cuts by chance, always the same for the same bytes: so a saved log is a whole case."""
    random = Random(zlib.crc32(data))
    return [random.randrange(len(data) + 1) for _ in range(random.randrange(8))]


def lines_of(chunks: Iterable[bytes]) -> list[tuple[int, bytes]]:
    """The lines that the live judge gets to see, with their numbers: pieces of an overlong line have the same."""
    splitter = LineSplitter()
    lines = [(number, raw) for chunk in chunks for number, _, raw in splitter.feed_at(chunk)]
    return lines + [(number, raw) for number, _, raw in splitter.feed_at(b"\n") if raw]


def last_words(incidents: Iterable[Incident]) -> list[Incident]:
    """For each id, the incident that came out last."""
    return list({incident.id: incident for incident in incidents}.values())


def check_log(data: bytes, cuts: Sequence[int] = ()) -> list[Incident]:
    """Judge a log in every way there is; all must agree, and each incident must be fit to be shown.

    Raises:
        AssertionError: something does not hold.
    """
    chunks = pieces(data, cuts)
    lines = lines_of(chunks)
    assert lines == lines_of([data]), "chunks change the lines"
    live = _live(lines)
    for incident in live:
        check_incident(incident, len(lines))
    check_order(live)
    last = sorted(last_words(live), key=lambda incident: incident.id)
    assert not any(incident.open for incident in last), "a report stays open at the end of the log"
    with _each_time_looked_at():
        assert scan.scan_bytes(data, RULES) == last, "a scan differs from the live judge"
        with _small_blocks(len(data)):
            assert last_words(scan.scan_stream(chunks, RULES)) == last, "a scan in blocks differs from the live judge"
    scanned = scan.scan_bytes(data, RULES)
    for incident in scanned:
        check_incident(incident, len(lines))
    with _without_hyperscan():
        assert scan.scan_bytes(data, RULES) == scanned, "without hyperscan a scan has another answer"
    return last


def _live(lines: Sequence[tuple[int, bytes]]) -> list[Incident]:
    detector = Detector(RULES)
    found = [incident for number, raw in lines for incident in detector.feed(parse_line(raw, number))]
    found += detector.flush()
    assert not detector.pending
    assert detector.flush() == [], "what is closed is closed again"
    return found


def check_incident(incident: Incident, lines: int) -> None:
    """An incident is fit to be shown, stored and compared; ``lines`` is how many there have been."""
    assert 0 <= incident.first_line <= incident.last_line < lines
    assert incident.id >= 1
    assert incident.rule in _IDS
    assert isinstance(incident.severity, Severity)
    headline = incident.headline("bbb01")
    for name, text in (("headline", headline), ("signature", incident.signature), ("kind", incident.kind)):
        assert text.strip(), f"{name} is empty"
        assert not _CONTROL.search(text), f"{name} has control characters: {text!r}"
        assert len(text) <= _MAX_TITLE, f"{name} has {len(text)} characters"
    assert not (incident.open and incident.complete)
    assert 1 <= len(incident.lines) <= report.MAX_LINES
    assert all(len(line) <= rows.MAX_LINE_CHARS for line in incident.lines)
    assert len(incident.consequences) <= report.MAX_CONSEQUENCES + 1, "and that the board has rebooted"
    assert len(incident.hints) <= 32
    if (crash := incident.crash) is not None:
        assert len(crash.frames) <= 1024
        assert len(crash.modules) <= 512
        assert len(crash.registers) <= 64
    plain = incident.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False))["signature"] == incident.signature
    json.dumps(plain, ensure_ascii=False).encode("utf-8")


def check_order(live: Sequence[Incident]) -> None:
    """Incidents come out in the order in which they begin, but for those that are held back until it is clear whether
    they are any; where they are none, an id has been used up."""
    at_once = [incident for incident in last_words(live) if incident.rule not in _HELD_BACK]
    assert at_once == sorted(at_once, key=lambda incident: incident.id)
    assert all(incident.id >= 1 for incident in live)


@contextmanager
def _each_time_looked_at() -> Iterator[None]:
    """Have a scan look at the kernel time of each line that it passes over: then it misses no replay, however short."""
    with mock.patch.object(scan, "_EXACT", 1 << 30):
        yield


@contextmanager
def _small_blocks(size: int) -> Iterator[None]:
    """Have a scan look at small blocks, so that a small log has many of their ends."""
    block = 1 + size // 7
    with mock.patch.object(scan, "_BLOCK", block), mock.patch.object(scan, "_SEGMENT", 200):
        yield


@contextmanager
def _without_hyperscan() -> Iterator[None]:
    filtered = Prefilter(RULES.texts, None)
    with mock.patch.object(Prefilter, "of", return_value=filtered):
        yield

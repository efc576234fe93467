"""The judge of whole logs: the same incidents as line by line, at the speed of a disk.

Where no report is open, only lines with one of the rules' texts (``contains``) can be news. They are looked for in the
bytes, by `hyperscan` where it is installed; all other lines are passed over. Of these only the kernel times matter,
which tell a log that is shown again from news: they are read from all lines of a block before news, and at intervals
from a block in which there are none. A replay shorter than such an interval changes no answer of a later block.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.lines import MAX_LINE_BYTES, match_prefix, parse_line, split_embedded, undecorated
from pytest_shepherd_hil.kernel.prefilter import Prefilter
from pytest_shepherd_hil.kernel.rows import MAX_LINE_CHARS, Rows
from pytest_shepherd_hil.kernel.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.kernel.lines import Line
    from pytest_shepherd_hil.kernel.rules import Rules

__all__ = ["Scanner", "scan_bytes", "scan_stream"]

_BLOCK = 1 << 20
"""Bytes that are looked through at once."""
_EXACT = 4096
"""Bytes before a candidate of which each line is judged."""
_INTERVAL = 32768
"""Bytes between the lines whose times are looked at in what is passed over."""
_TIMES = re.compile(rb"^(?:[^\n\[]{0,80}kernel: |<\d{1,3}>)?\[ {0,8}(\d{1,9}\.\d{6})\]", re.MULTILINE)
_SEGMENT = 8192
"""Bytes of an open report that are taken apart at once."""


def scan_bytes(data: bytes, rules: Rules | None = None) -> list[Incident]:
    """The incidents in a whole log, each as it is when it is complete, in order; line numbers count from 0."""
    return list({incident.id: incident for incident in scan_stream((data,), rules)}.values())


def scan_stream(chunks: Iterable[bytes], rules: Rules | None = None) -> Iterator[Incident]:
    """The same for a stream in chunks of any size, in bounded memory.

    An incident that is amended later (the board reboots after a panic) comes out again under its ``id``.
    """
    scanner = Scanner(rules)
    for chunk in chunks:
        yield from scanner.feed(chunk)
    yield from scanner.finish()


class Scanner:
    """Finds the incidents in the bytes of one log."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = load_rules() if rules is None else rules
        self._detector = Detector(self._rules, unfinished=False)
        self._prefilter = Prefilter.of(self._rules)
        self._rest: list[bytes] = []
        self._size = 0
        self.lines = 0
        """Lines that have been judged or passed over."""
        self._held: list[Incident] = []
        """What was found while a report was open: it comes out after the report, which began before it."""

    def feed(self, chunk: bytes) -> list[Incident]:
        """Judge what comes next."""
        self._rest.append(chunk)
        self._size += len(chunk)
        if self._size < _BLOCK:
            return []
        data = b"".join(self._rest)
        end = data.rfind(b"\n") + 1
        found = self._block(data[:end]) if end else []
        rest = data[end:]
        if len(rest) >= _BLOCK:  # a line of megabytes is handed on in pieces
            whole = (len(rest) - 1) // MAX_LINE_BYTES * MAX_LINE_BYTES
            for start in range(0, whole, MAX_LINE_BYTES):
                found += self._piece(rest[start : start + MAX_LINE_BYTES])
            rest = rest[whole:]
        self._rest, self._size = [rest], len(rest)
        return found

    def finish(self) -> list[Incident]:
        """Judge what is left: the log is at its end."""
        data = b"".join(self._rest)
        self._rest, self._size = [], 0
        found = self._block(data) if data else []
        self._held += self._detector.flush()
        return found + self._in_order()

    def _in_order(self) -> list[Incident]:
        held = sorted(self._held, key=lambda incident: incident.id)
        self._held.clear()
        return held

    # --- blocks of whole lines

    def _block(self, data: bytes) -> list[Incident]:
        found: list[Incident] = []
        start = 0
        # Blocks are cut where a line is too long for one piece, or has carriage returns that hide what it says.
        for stop, length in self._long_lines(data):
            found += self._lines(data[start:stop])
            for piece in range(stop, stop + length, MAX_LINE_BYTES):
                found += self._piece(data[piece : min(piece + MAX_LINE_BYTES, stop + length)].rstrip(b"\r"))
            self.lines += 1
            start = stop + length + 1
        return found + self._lines(data[start:])

    @staticmethod
    def _long_lines(data: bytes) -> list[tuple[int, int]]:
        """Start and length of the lines that are longer than a piece."""
        found = []
        position = 0
        while len(data) - position > MAX_LINE_BYTES:
            end = data.rfind(b"\n", position, position + MAX_LINE_BYTES + 1)
            if end < 0:
                end = data.find(b"\n", position)
                end = len(data) if end < 0 else end
                found.append((position, end - position))
            position = end + 1
        return found

    def _lines(self, data: bytes) -> list[Incident]:
        """Judge whole lines, none of them too long."""
        found: list[Incident] = []
        in_reports: list[int] = []
        candidates = self._prefilter.candidates(data, in_reports)
        if candidates is None:
            self._judge_all(data, found)
            return found
        # A report may be open from the block before: what is of it is no matter of candidates.
        position = looked_at = self._judge(data, 0, found, in_reports)
        for candidate in candidates:
            if candidate < looked_at:
                continue
            start = data.rfind(b"\n", looked_at, candidate) + 1 or looked_at
            looked_at = data.find(b"\n", start) + 1 or len(data)
            line = parse_line(data[start:looked_at].removesuffix(b"\n").rstrip(b"\r"), 0)
            if not self._may_be_news(line):
                continue
            self._pass_over(data, position, start, found, before_news=True)
            self._held += self._detector.feed(line._replace(number=self.lines))
            self.lines += 1
            position = looked_at = self._judge(data, looked_at, found, in_reports)
        self._pass_over(data, position, len(data), found)
        return found

    def _may_be_news(self, line: Line) -> bool:
        return any(self._detector.may_be_news(part.message) for part in split_embedded(line))

    def _judge_all(self, data: bytes, found: list[Incident]) -> None:
        for raw in _split(data):
            self._held += self._line(raw)
            if not self._detector.pending:
                found += self._in_order()

    def _pass_over(
        self, data: bytes, start: int, stop: int, found: list[Incident], *, before_news: bool = False
    ) -> None:
        """Take note of the times in lines of which none can be news: of all times, where news follow."""
        while self._detector.awaits_boot and start < stop:
            end = data.find(b"\n", start, stop)
            end = stop if end < 0 else end
            found += self._line(data[start:end].rstrip(b"\r"))
            start = end + 1
        if start >= stop:
            return
        exact = stop - _EXACT
        if exact > start:
            exact = data.rfind(b"\n", start, exact) + 1 or start
            if before_news:
                for match in _TIMES.finditer(data, start, exact):
                    found += self._detector.pass_time(float(match[1]), each=True)
            else:
                for position in range(start, exact, _INTERVAL):
                    found += self._look_at_time(data, position, exact)
            self.lines += data.count(b"\n", start, exact)
            start = exact
        for raw in _split(data[start:stop]):
            found += self._line(raw)

    def _look_at_time(self, data: bytes, position: int, stop: int) -> list[Incident]:
        begin = data.rfind(b"\n", 0, position) + 1
        times = []
        for _ in range(3):
            end = data.find(b"\n", begin, stop)
            if end < 0:
                break
            match = match_prefix(data[begin : begin + 64].decode("ascii", "replace"))
            if match is not None:
                times.append(float(match["time"]))
            begin = end + 1
        return self._detector.pass_time(min(times)) if times else []

    def _judge(self, data: bytes, start: int, found: list[Incident], candidates: Sequence[int]) -> int:
        """Judge all of the report that is open, from ``start`` on; tells where to go on.

        Of the lines between two candidates it is known that no rule matches them.
        """
        detector = self._detector
        while detector.pending and start < len(data):
            stop = data.find(b"\n", min(start + _SEGMENT, len(data))) + 1 or len(data)
            if (index := bisect_left(candidates, start)) < len(candidates) and candidates[index] < stop:
                stop = data.rfind(b"\n", start, candidates[index]) + 1 or start
            if stop > start:
                start += self._run(data[start:stop])
                continue
            end = data.find(b"\n", start)
            end = len(data) if end < 0 else end
            self._held += self._line(data[start:end].rstrip(b"\r"))
            start = end + 1
        if not detector.pending:
            found += self._in_order()
        return start

    def _run(self, segment: bytes) -> int:
        """Judge lines that no rule matches, as long as the report is open; tells how many bytes of them."""
        detector, number = self._detector, self.lines
        text = segment.decode("utf-8", "replace")
        if "\r" in text:
            text = text.replace("\r", "")
        text = text if text.endswith("\n") else text + "\n"
        plain = undecorated(text)
        rows = Rows.of(plain)
        if plain is not text:  # what is kept of a report is kept as it came
            rows = rows._replace(lines=[line[:MAX_LINE_CHARS] for line in text.split("\n")[:-1]])
        raws: list[bytes] = []
        index, count = 0, len(rows.lines)
        while index < count:
            index = detector.take_rows(rows, index, number + index)
            if index == count:
                break
            if not rows.is_blank(index):
                raws = raws or segment.split(b"\n")
                self._held += detector.feed(parse_line(raws[index].rstrip(b"\r"), number + index))
                if not detector.pending:
                    self.lines += index + 1
                    return sum(map(len, raws[: index + 1])) + index + 1
            index += 1
        self.lines += count
        return len(segment)

    def _line(self, raw: bytes) -> list[Incident]:
        found = self._piece(raw)
        self.lines += 1
        return found

    def _piece(self, raw: bytes) -> list[Incident]:
        """Judge a piece of a line that is too long for one; all of them have the line's number."""
        return self._detector.feed(parse_line(raw, self.lines))


def _split(data: bytes) -> list[bytes]:
    lines = [line.rstrip(b"\r") for line in data.split(b"\n")]
    if data.endswith(b"\n"):
        lines.pop()
    return lines

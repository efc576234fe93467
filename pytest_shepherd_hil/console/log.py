"""The append-only record of a board's console."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.lines import Line, LineSplitter, parse_line

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ConsoleLine", "ConsoleLog", "Wakeup"]

_LINE_END = re.compile(r"(?<!\r)\r+\n")
_MOST_RETURNS = 16


@dataclass(slots=True, frozen=True)
class ConsoleLine:
    """One line of a console, as it came and as it was understood."""

    line: Line
    raw: bytes
    """Its bytes without the line end."""
    time_ns: int
    """Host time at which its end was read: ``time.monotonic_ns()``."""
    offset: int
    """Where its first byte is in the console log."""

    @property
    def number(self) -> int:
        """Which line of the console log it is, from 0."""
        return self.line.number

    @property
    def text(self) -> str:
        """The whole line as text; bytes that are not UTF-8 are replaced."""
        return self.line.text

    @property
    def message(self) -> str:
        """The line without the kernel's prefix."""
        return self.line.message

    @property
    def kernel_time_s(self) -> float | None:
        """The kernel's time stamp, seconds since boot; None where it printed none."""
        return self.line.kernel_time_s

    def __str__(self) -> str:
        return self.text


class Wakeup:
    """Wakes one waiting thread from another, over a pipe: no lock that an interrupted waiter could keep.

    Whoever may call :meth:`set` must have been told to stop before :meth:`close` is called.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """What to ``select`` on."""
        return self._read

    def set(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is awake already
            os.write(self._write, b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def close(self) -> None:
        for fd in (self._read, self._write):
            os.close(fd)
        self._read = self._write = -1


class ConsoleLog:
    """Every byte and line that a board's console has said, on disk as it arrives.

    One thread appends; any thread reads. In memory it keeps the newest :data:`KEEP_LINES` lines, but no more than
    :data:`KEEP_BYTES` of them, and :data:`KEEP_TEXT` characters; the file has everything.

    Args:
        path: file for the raw bytes, made anew; beside it ``PATH.times`` gets one line for each console line:
            its number, the offset of its first byte, monotonic ns and wall clock. None keeps the log in memory only.
    """

    KEEP_LINES = 200_000
    KEEP_BYTES = 64 << 20
    KEEP_TEXT = 8 << 20
    OVERLAP = 4096
    """A pattern that spans several lines is found if it is no longer than this many characters."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.disk_error: OSError | None = None
        """Why the file is incomplete, if it is (disk full, …); the log goes on in memory."""
        self.started_ns = time.monotonic_ns()
        self._wall_minus_monotonic = time.time_ns() - self.started_ns
        self._lock = threading.Lock()
        self._splitter = LineSplitter()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._lines: deque[ConsoleLine] = deque()
        self._lines_bytes = 0
        self._count = 0
        self._size = 0
        self._text = ""
        self._text_start = 0
        self._unjoined: list[str] = []
        self._returns = ""
        self._characters = 0
        self._kernel_time_s: float | None = None
        self._last_ns: int | None = None
        self._waiting: list[Wakeup] = []
        self._raw = self._times = -1
        if path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            try:
                self._raw = os.open(path, flags, 0o644)
                self._times = os.open(path.with_name(path.name + ".times"), flags, 0o644)
            except OSError as error:
                self.disk_error = error

    def append(self, chunk: bytes, time_ns: int) -> list[ConsoleLine]:
        """Record bytes that were read at host time ``time_ns`` (monotonic); returns the lines that they ended."""
        with self._lock:
            new: list[ConsoleLine] = []
            for number, offset, raw in self._splitter.feed_at(chunk):
                line = ConsoleLine(parse_line(raw, number), raw, time_ns, offset)
                if line.kernel_time_s is not None:
                    self._kernel_time_s = line.kernel_time_s
                new.append(line)
            self._count = self._splitter.number
            self._size += len(chunk)
            self._last_ns = time_ns
            self._keep(new)
            text = self._decode(chunk)
            self._unjoined.append(text)
            self._characters += len(text)
            if self._characters - self._text_start > self.KEEP_TEXT + self.KEEP_TEXT // 8:
                drop = len(self._join()) - self.KEEP_TEXT
                self._text = self._text[drop:]
                self._text_start += drop
            index = [f"{line.number}\t{line.offset}\t{time_ns}\t{self.wall(time_ns).isoformat()}\n" for line in new]
            self._write(chunk, "".join(index).encode())
            for waiting in self._waiting:
                waiting.set()
        return new

    def _keep(self, new: list[ConsoleLine]) -> None:
        lines = self._lines
        lines.extend(new)
        self._lines_bytes += sum(len(line.raw) for line in new)
        while lines and (len(lines) > self.KEEP_LINES or self._lines_bytes > self.KEEP_BYTES):
            self._lines_bytes -= len(lines.popleft().raw)

    def _decode(self, chunk: bytes) -> str:
        """The chunk as text in which LF alone ends a line, so that ``$`` matches there; CRs wait for what follows."""
        text = self._returns + self._decoder.decode(chunk)
        kept = text.rstrip("\r")
        self._returns = text[len(kept) :][-_MOST_RETURNS:]
        return _LINE_END.sub("\n", kept)

    def _join(self) -> str:
        """The text in memory; joined only when somebody looks at it."""
        if self._unjoined:
            self._text += "".join(self._unjoined)
            self._unjoined.clear()
        return self._text

    def _write(self, chunk: bytes, index: bytes) -> None:
        if self._raw < 0 or self.disk_error is not None:
            return
        try:
            _write_all(self._raw, chunk)
            _write_all(self._times, index)
        except OSError as error:
            self.disk_error = error

    @property
    def count(self) -> int:
        """Number of complete lines so far."""
        with self._lock:
            return self._count

    @property
    def size(self) -> int:
        """Number of bytes so far."""
        with self._lock:
            return self._size

    @property
    def end(self) -> int:
        """Number of characters so far: a cursor for :meth:`search`."""
        with self._lock:
            return self._characters

    @property
    def kernel_time_s(self) -> float | None:
        """The newest kernel time stamp seen, seconds since boot."""
        with self._lock:
            return self._kernel_time_s

    @property
    def last_ns(self) -> int | None:
        """When the newest byte came (monotonic ns); None where none ever did."""
        with self._lock:
            return self._last_ns

    @property
    def unfinished(self) -> bytes:
        """What has come of a line that has not ended yet."""
        with self._lock:
            return self._splitter.pending

    def lines(self, since: int = 0, until: int | None = None) -> list[ConsoleLine]:
        """The lines numbered ``since`` to ``until`` (not included), as far as they are still in memory."""
        with self._lock:
            oldest = self._lines[0].number if self._lines else self._count
            if self._count - oldest != len(self._lines):  # pieces of a line have one number
                last = self._count + 1 if until is None else until
                return [line for line in self._lines if since <= line.number < last]
            start = max(since - oldest, 0)
            stop = len(self._lines) if until is None else min(max(until - oldest, 0), len(self._lines))
            if start < len(self._lines) - stop:
                return list(islice(self._lines, start, stop))
            # counted from the nearer end: the newest lines are asked for again and again
            back = list(islice(reversed(self._lines), len(self._lines) - stop, len(self._lines) - min(start, stop)))
            return back[::-1]

    def tail(self, lines: int) -> list[ConsoleLine]:
        """The newest lines."""
        with self._lock:
            return list(islice(reversed(self._lines), lines))[::-1]

    def search(self, pattern: re.Pattern[str], cursor: int, scanned: int) -> tuple[re.Match[str] | None, int, int]:
        """Look for ``pattern`` in what came after ``cursor``.

        Args:
            cursor: character position from which on a match may begin.
            scanned: up to where an earlier call has looked in vain; what lies well before is not looked at again.

        Returns:
            The match or None, the cursor after it (or ``cursor``), and the new ``scanned``.
        """
        with self._lock:
            text = self._join()
            text_start = self._text_start
            begin = max(cursor, scanned - self.OVERLAP) - text_start
            match = pattern.search(text, max(begin, 0))
            if match is None:
                return None, cursor, text_start + len(text)
            end = text_start + match.end()
            return match, end, end

    def text_since(self, cursor: int) -> str:
        """Everything after the character position ``cursor``, as far as it is still in memory."""
        with self._lock:
            return self._join()[max(cursor - self._text_start, 0) :]

    def wall(self, time_ns: int) -> datetime:
        """The wall clock (UTC) at a monotonic time."""
        return datetime.fromtimestamp((time_ns + self._wall_minus_monotonic) / 1e9, UTC)

    def subscribe(self, wakeup: Wakeup) -> None:
        """Have ``wakeup`` set whenever bytes come."""
        with self._lock:
            self._waiting.append(wakeup)

    def unsubscribe(self, wakeup: Wakeup) -> None:
        with self._lock:
            if wakeup in self._waiting:
                self._waiting.remove(wakeup)

    def wake(self) -> None:
        """Wake everybody who waits, though nothing came: something else has changed."""
        with self._lock:
            for waiting in self._waiting:
                waiting.set()

    def close(self) -> None:
        with self._lock:
            for fd in (self._raw, self._times):
                if fd >= 0:
                    os.close(fd)
            self._raw = self._times = -1


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

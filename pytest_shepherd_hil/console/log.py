"""The append-only record of a board's console."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.lines import ConsoleLine, LineBlock, LineStore
from pytest_shepherd_hil.console.transcript import Transcript
from pytest_shepherd_hil.kernel.lines import LineSplitter

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ConsoleLine", "ConsoleLog", "Wakeup"]

_LINE_END = re.compile(r"(?<!\r)\r+\n")
_MOST_RETURNS = 16


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
        path: file for the raw bytes, made anew; beside it ``PATH.times`` gets one line for each read that ended lines
            of the console: the number of the first of them, the offset of its first byte, monotonic ns and wall clock.
            None keeps the log in memory only.
    """

    KEEP_LINES = 200_000
    KEEP_BYTES = 64 << 20
    KEEP_TEXT = 8 << 20

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.disk_error: OSError | None = None
        """Why the file is incomplete, if it is (disk full, …); the log goes on in memory."""
        self.started_ns = time.monotonic_ns()
        self._wall_minus_monotonic = time.time_ns() - self.started_ns
        self._lock = threading.Lock()
        self._splitter = LineSplitter()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._store = LineStore(self.KEEP_LINES, self.KEEP_BYTES)
        self._transcript = Transcript(self.KEEP_TEXT)
        self._size = 0
        self._returns = ""
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

    def append(self, chunk: bytes, time_ns: int) -> LineBlock:
        """Record bytes that were read at host time ``time_ns`` (monotonic); returns the lines that they ended."""
        with self._lock:
            self._transcript.append(self._decode(chunk))
            for waiting in self._waiting:  # first of all: who looks for more than the text waits for our lock
                waiting.set()
            splitter, offset, number = self._splitter, self._splitter.start, self._splitter.number
            whole = splitter.take_whole(chunk)
            pieces = [piece[1:] for piece in splitter.feed_at(chunk)] if whole is None else ()
            new = LineBlock(self._store.count, offset, whole or b"", time_ns, pieces, splitter.number - number)
            if new:
                self._store.append(new)
            self._size += len(chunk)
            self._last_ns = time_ns
            index = f"{new.first}\t{new.offset}\t{time_ns}\t{self.wall(time_ns).isoformat()}\n" if new else ""
            self._write(chunk, index.encode())
        return new

    def _decode(self, chunk: bytes) -> str:
        """The chunk as text in which LF alone ends a line, so that ``$`` matches there; CRs wait for what follows."""
        plain = chunk.replace(b"\r", b"")
        returns = len(chunk) - len(plain)
        if not self._returns and (not returns or returns == chunk.count(b"\r\n")):  # as a UART mostly has it
            return self._decoder.decode(plain)
        text = self._returns + self._decoder.decode(chunk)
        kept = text.rstrip("\r")
        self._returns = text[len(kept) :][-_MOST_RETURNS:]
        return _LINE_END.sub("\n", kept)

    def _write(self, chunk: bytes, index: bytes) -> None:
        if self._raw < 0 or self.disk_error is not None:
            return
        try:
            _write_all(self._raw, chunk)
            if index:
                _write_all(self._times, index)
        except OSError as error:
            self.disk_error = error

    @property
    def count(self) -> int:
        """Number of complete lines so far."""
        with self._lock:
            return self._store.count

    @property
    def size(self) -> int:
        """Number of bytes so far."""
        with self._lock:
            return self._size

    @property
    def end(self) -> int:
        """Number of characters so far: a cursor for :meth:`search`."""
        return self._transcript.end

    @property
    def kernel_time_s(self) -> float | None:
        """The newest kernel time stamp seen, seconds since boot."""
        with self._lock:
            return self._store.kernel_time_s

    def newest_time_s(self, since: int, until: int) -> float | None:
        """The greatest kernel time on the lines numbered ``since`` to ``until`` (not included), about."""
        with self._lock:
            return self._store.newest_time_s(since, until)

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
            return self._store.between(since, self._store.count if until is None else until)

    def tail(self, lines: int) -> list[ConsoleLine]:
        """The newest lines."""
        with self._lock:
            return self._store.between(self._store.count - lines, self._store.count)

    def search(self, pattern: re.Pattern[str], cursor: int, scanned: int) -> tuple[re.Match[str] | None, int, int]:
        """Look for ``pattern`` in what came after ``cursor``; it is found if it is no longer than 4096 characters.

        Args:
            cursor: character position from which on a match may begin.
            scanned: up to where an earlier call has looked in vain; what lies well before is not looked at again.

        Returns:
            The match or None, the cursor after it (or ``cursor``), and the new ``scanned``.
        """
        return self._transcript.search(pattern, cursor, scanned)

    def text_since(self, cursor: int) -> str:
        """Everything after the character position ``cursor``, as far as it is still in memory."""
        return self._transcript.since(cursor)

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

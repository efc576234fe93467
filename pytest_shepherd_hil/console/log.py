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

    def clear(self) -> bool:
        """Whether it was set; it no longer is."""
        try:
            while len(os.read(self._read, 4096)) == 4096:
                pass
        except BlockingIOError:
            return False
        return True

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
    HANDOVER_BYTES = 1024
    """What is no longer than this is taken apart only when who waits for it has looked at it: a flood is not."""
    HANDOVER_S = 50e-6

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
        self._waking = threading.Lock()
        self._waiting: list[Wakeup] = []
        self._spare: list[Wakeup] = []
        self._closed = False
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
            # first of all, and then a moment for them: Python runs one thread at a time, and would go on with this one
            if self.wake() and len(chunk) <= self.HANDOVER_BYTES:
                time.sleep(self.HANDOVER_S)
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

    def subscribe(self) -> Wakeup:
        """What is set whenever bytes come, from now on; to be given back with :meth:`unsubscribe`, and not closed."""
        with self._waking:
            wakeup = self._spare.pop() if self._spare else Wakeup()
            self._waiting.append(wakeup)
        return wakeup

    def unsubscribe(self, wakeup: Wakeup) -> None:
        """It is needed no more. The next may get it while it is still set."""
        with self._waking:
            self._waiting.remove(wakeup)
            if self._closed:
                wakeup.close()
            else:
                self._spare.append(wakeup)

    def wake(self) -> bool:
        """Wake everybody who waits; returns whether anybody does."""
        with self._waking:
            for waiting in self._waiting:
                waiting.set()
            return bool(self._waiting)

    def close(self) -> None:
        with self._waking:
            self._closed = True
            while self._spare:
                self._spare.pop().close()
        with self._lock:
            for fd in (self._raw, self._times):
                if fd >= 0:
                    os.close(fd)
            self._raw = self._times = -1


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]

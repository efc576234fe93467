"""A terminal's line discipline: echo, erase, interrupt, and a carriage return before each newline."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from pytest_shepherd_hil.sim.streams import Input

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Terminal"]

LINE_MAX = 4096
AHEAD = 256


class Terminal(Input):
    """A tty of the board: bytes typed go in by :meth:`feed`, lines come out as a command's input.

    Args:
        write: takes what appears on the terminal.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        super().__init__()
        self.interrupted = threading.Event()
        self._write = write
        self._line = bytearray()
        self._last = b""
        self._done: list[bytes | None] = []
        self._lines: queue.Queue[bytes | None] = queue.Queue(AHEAD)

    def print(self, data: bytes) -> None:
        """Show output of a command."""
        self._write(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))

    def feed(self, data: bytes) -> None:
        """Take typed bytes."""
        echo = bytearray()
        for code in data:
            echo += self._key(bytes((code,)))
            if self._done:  # what was typed is seen before the answer to it
                self._write(bytes(echo))
                echo.clear()
                for line in self._done:
                    self._put(line)
                self._done.clear()
        if echo:
            self._write(bytes(echo))

    def fill(self) -> bytes:
        line = self._lines.get()
        return b"" if line is None else line

    def read_line(self) -> bytes:
        """A line; unlike at a file, an end (Ctrl-D) counts once."""
        self._ended = False
        return super().read_line()

    def hang_up(self) -> None:
        """Nobody is at the terminal any more."""
        self.interrupted.set()
        self._put(None)

    def _put(self, line: bytes | None) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:  # as a real tty: what nobody reads is lost
            if line is None:
                self._lines.get_nowait()
                self._lines.put_nowait(None)

    def _key(self, key: bytes) -> bytes:
        last, self._last = self._last, key
        if key == b"\n" and last == b"\r":
            return b""
        if key in b"\r\n":
            self._done.append(bytes(self._line) + b"\n")
            self._line.clear()
            return b"\r\n"
        if key in b"\x7f\x08":
            if not self._line:
                return b""
            self._line.pop()
            return b"\b \b"
        if key == b"\x15":
            erased = b"\b \b" * len(self._line)
            self._line.clear()
            return erased
        if key == b"\x03":
            self._line.clear()
            self.interrupted.set()
            self._done.append(b"\n")
            return b"^C\r\n"
        if key == b"\x04":
            if not self._line:
                self._done.append(None)
            return b""
        if len(self._line) < LINE_MAX:
            self._line += key
            return key
        return b""

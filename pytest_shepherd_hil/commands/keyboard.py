"""What is typed on stdin, key by key on a terminal, as it comes from a pipe; the terminal is put back in the end."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.log import Wakeup

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

__all__ = ["Keyboard"]

_READ_BYTES = 1024
_ENDS = b"\x03\x1d"
"""Ctrl-C and Ctrl-]."""


class Keyboard:
    """Hands on what comes in on stdin, from a thread of its own; a context manager.

    On a terminal keys are handed on at once and are not echoed: the board does that. Ctrl-C and Ctrl-] are not handed
    on. A pipe's bytes are handed on as they are; its end only ends the typing.

    Args:
        on_keys: takes bytes.
        on_end: told that the user wants to end.
    """

    def __init__(self, on_keys: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_keys = on_keys
        self._on_end = on_end
        self._wakeup = Wakeup()
        self._input = -1
        self._before: list[Any] | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether a person types."""
        return self._before is not None

    def __enter__(self) -> Self:
        try:
            self._input = sys.stdin.fileno()
        except (AttributeError, OSError, ValueError):  # there is no stdin
            return self
        if os.isatty(self._input):
            self._before = termios.tcgetattr(self._input)
            _pass_keys(self._input)
        self._thread = threading.Thread(target=self._read, name="hil-keyboard", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wakeup.set()
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join(1.0)
        finally:
            if self._before is not None:
                with contextlib.suppress(termios.error):  # the terminal has gone
                    termios.tcsetattr(self._input, termios.TCSADRAIN, self._before)

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._input, self._wakeup.fileno()], [], [])
            if self._wakeup.fileno() in ready:
                return
            try:
                keys = os.read(self._input, _READ_BYTES)
            except OSError:
                keys = b""
            if not keys:
                if self.is_terminal:  # it has gone
                    self._on_end()
                return
            if self.is_terminal:
                wanted = keys.split(_ENDS[:1])[0].split(_ENDS[1:])[0]
                if wanted:
                    self._on_keys(wanted)
                if len(wanted) < len(keys):
                    self._on_end()
                    return
            else:
                self._on_keys(keys)


def _pass_keys(terminal: int) -> None:
    """Have each key at once, also those that mean something to this host; what is printed stays as it is."""
    attributes = termios.tcgetattr(terminal)
    attributes[0] &= ~(termios.ICRNL | termios.INLCR | termios.IXON)
    attributes[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    attributes[6][termios.VMIN] = 1
    attributes[6][termios.VTIME] = 0
    termios.tcsetattr(terminal, termios.TCSADRAIN, attributes)

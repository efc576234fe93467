"""What a test does with a console: expect, send, look."""

from __future__ import annotations

import re
import select
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardDeadError, ConsoleError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.console.lines import ConsoleLine
    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.console.port import Port

__all__ = ["Console"]


class Console:
    """A view of one board's console, from the moment it was made.

    The console is recorded and watched whether or not anybody calls anything here.

    Args:
        log: the record to look at.
        port: gives the port to send to; called for each use, since a replugged adapter is a new port.
        board: name of the board, for error messages.
        dead: gives the reason why nothing more will come, or None.
        nudge: has the kernel print something, so that a line it keeps back comes out; takes the seconds it may take.
    """

    NUDGE_AFTER_S = 0.3
    NUDGE_EVERY_S = 1.0
    FLOOD_CHARS = 4096
    BREATH_S = 0.01
    """Where more than :data:`FLOOD_CHARS` came since the last look, the next waits so long: each look costs the reader
    time, and what floods in meanwhile is then searched at once."""

    def __init__(
        self,
        log: ConsoleLog,
        port: Callable[[], Port],
        *,
        board: str,
        dead: Callable[[], str | None] = lambda: None,
        nudge: Callable[[float], None] | None = None,
    ) -> None:
        self._log = log
        self._port = port
        self._board = board
        self._dead = dead
        self._nudge = nudge
        self._cursor = log.end
        self._first_line = log.count

    def expect(self, pattern: str | re.Pattern[str], timeout_s: float = 10.0) -> re.Match[str]:
        """Wait until ``pattern`` comes out of the console, and return the match.

        The search begins where the last one ended, at first where this view begins; ``^`` and ``$`` match at line ends.

        A kernel keeps back a message without a newline until it prints the next one. So while this waits, it writes a
        line of its own to the kernel's log now and then, where the board has a shell.

        Args:
            pattern: a regular expression. It may span lines, up to 4096 characters.
            timeout_s: how long to wait, in seconds.

        Raises:
            ConsoleError: it did not come in time; the message has what came instead.
            BoardDeadError: the board died meanwhile.
        """
        __tracebackhide__ = True
        compiled = re.compile(pattern, re.MULTILINE) if isinstance(pattern, str) else pattern
        deadline = time.monotonic() + timeout_s
        match, self._cursor, scanned = self._log.search(compiled, self._cursor, self._cursor)
        if match is not None:  # it has come already
            return match
        seen = self._log.end
        next_nudge = time.monotonic() + self.NUDGE_AFTER_S if self._nudge is not None else deadline
        wakeup = self._log.subscribe()
        try:
            while True:
                match, self._cursor, scanned = self._log.search(compiled, self._cursor, scanned)
                if match is not None:
                    return match
                reason = self._dead()
                if reason is not None:
                    raise BoardDeadError(
                        f"board {self._board}: {compiled.pattern!r} will not come out of the console: {reason}"
                    )
                now = time.monotonic()
                if now >= deadline:
                    raise ConsoleError(self._not_found(compiled, timeout_s))
                if self._nudge is not None and now >= next_nudge:
                    self._nudge(deadline - now)
                    next_nudge = time.monotonic() + self.NUDGE_EVERY_S
                    continue
                flood = scanned - seen > self.FLOOD_CHARS
                seen = scanned
                if flood:
                    time.sleep(min(self.BREATH_S, max(deadline - now, 0.0)))
                elif not wakeup.clear():  # after the search: what ends it is found with as few steps as can be
                    select.select([wakeup], [], [], max(min(deadline, next_nudge) - now, 0.0))
        finally:
            self._log.unsubscribe(wakeup)

    def send(self, data: str | bytes) -> None:
        """Send to the board, as if typed: text as UTF-8, and no line end added.

        Raises:
            BoardDeadError: the board is known to be dead.
            ConsoleError: the port does not take it.
        """
        self._refuse_dead("send")
        self._port().write(data.encode() if isinstance(data, str) else data)

    def send_break(self) -> None:
        """Hold the line in BREAK for a moment: the kernel takes the next character as a SysRq command."""
        self._refuse_dead("send a BREAK")
        self._port().send_break()

    def lines(self, since: int | None = None) -> list[ConsoleLine]:
        """The complete lines so far, from line number ``since`` on; without it, from where this view begins."""
        return self._log.lines(self._first_line if since is None else since)

    @property
    def kernel_time(self) -> float | None:
        """The newest time stamp that the kernel has printed: seconds since boot. None before the first."""
        return self._log.kernel_time_s

    def _refuse_dead(self, what: str) -> None:
        reason = self._dead()
        if reason is not None:
            raise BoardDeadError(f"board {self._board}: cannot {what}: {reason}")

    def _not_found(self, pattern: re.Pattern[str], timeout_s: float) -> str:
        head = f"board {self._board}: {pattern.pattern!r} did not come out of the console within {timeout_s:g} s"
        rest = self._log.unfinished.decode("utf-8", "replace")
        shown = [line.text for line in self.lines()[-10:]] + ([rest] if rest else [])
        if shown:
            return "\n".join([f"{head}; the last lines are:", *(f"  | {printable(line)}" for line in shown)])
        last_ns = self._log.last_ns
        if last_ns is None:
            return f"{head}; it has not said a single byte since it was opened: check the wire (RX to pin 5 of J1)"
        ago_s = (time.monotonic_ns() - last_ns) / 1e9
        return f"{head}; nothing came at all, its last byte is {ago_s:.1f} s old"

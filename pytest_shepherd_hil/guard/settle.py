"""Waiting until a board has said all that it has to say about what a test did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardDeadError, ShellError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.guard.fence import Fences
    from pytest_shepherd_hil.guard.guard import Guard

__all__ = ["Settling"]


class Settling:
    """Ends the phases of tests on one board.

    Args:
        board: the board.
        guard: its guard.
    """

    REPORT_END_S = 5.0
    """How long the end of a report that is being printed is waited for."""
    AFTERMATH_S = 0.3
    """How long what follows from an incident is waited for: a PRU that is late, then the jump of its clock."""
    SETTLE_S = 0.2
    """How long late words are waited for where no fence can be written."""

    def __init__(self, board: Board, guard: Guard) -> None:
        self._board = board
        self._guard = guard
        self._calls_seen = 0

    def begin(self) -> None:
        """A test begins: what was done on the board before is settled."""
        self._calls_seen = self._calls()

    def settle(self, window: Window, *, thorough: bool) -> None:
        """Wait until everything that the kernel has printed so far has come out and been judged.

        Args:
            window: of the test that did it.
            thorough: cross a fence in any case, not only if commands were run since the last one.
        """
        self._linger(window)
        if self._board.dead is None and (thorough or self._calls() != self._calls_seen):
            self._cross_fence()
        deadline = time.monotonic() + self.REPORT_END_S
        while self._guard.report_open(window) and time.monotonic() < deadline:
            time.sleep(0.005)

    def _calls(self) -> int:
        return self._board.shell.call_count if "shell" in self._board.has else 0

    def _linger(self, window: Window) -> None:
        """Give an incident that leaves the kernel running a moment to show what follows from it."""
        if not self._guard.unexpected(window):
            return
        deadline = time.monotonic() + self.AFTERMATH_S
        while self._board.dead is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def _cross_fence(self) -> None:
        board = self._board
        if board.fences is None:
            time.sleep(self.SETTLE_S)
            return
        try:
            crossed = self._try_fence(board.fences)
        except (ShellError, BoardDeadError) as error:
            if board.dead is None:
                self._guard.add(
                    "console-lost",
                    f"fence lost: the shell took no line for /dev/kmsg: {str(error).splitlines()[0]}",
                    fatal=True,
                    hint=f"the board hangs, or its network is gone; its console {self._silence()}",
                )
            return
        finally:
            self._calls_seen = self._calls()
        if board.dead is None and board.fences.boot_id != board.boot_id:
            self._guard.add(
                "unexpected-reboot",
                "the board rebooted by itself, without a word on its console",
                fatal=True,
                hint=f"its boot id is another: {printable(str(board.fences.boot_id))}, not {board.boot_id}",
            )
        elif not crossed and board.dead is None:
            self._guard.add(
                "console-lost",
                f"console lost: a line written to /dev/kmsg did not come out within {board.fences.SILENCE_S:g} s",
                fatal=False,
                hint=f"the shell still answers, so the kernel lives: look at the UART's wire and adapter; it "
                f"{self._silence()}",
            )

    def _try_fence(self, fences: Fences) -> bool:
        try:
            return fences.cross(lambda: self._board.dead is not None) is not None
        except ShellError:
            if self._board.dead is not None:
                raise
        self._board.shell.drop()  # it may have been the connection only
        return fences.cross(lambda: self._board.dead is not None) is not None

    def _silence(self) -> str:
        last_ns = self._board.log.last_ns
        if last_ns is None:
            return "has never said anything"
        return f"last said something {(time.monotonic_ns() - last_ns) / 1e9:.1f} s ago"

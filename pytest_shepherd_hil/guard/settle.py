"""Waiting until a board has said all that it has to say about what a test did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardDeadError, ShellError
from pytest_shepherd_hil.guard.hang import ask_kernel
from pytest_shepherd_hil.text import first_line, printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.guard.attribution import Window
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
    """How long what follows from a single line is waited for: a PRU that is late, then the jump of its clock. A report
    of the kernel tells what there is to tell, and a panic that follows it lets no fence pass."""
    SETTLE_S = 0.2
    """How long late words are waited for where no fence can be written."""

    def __init__(self, board: Board, guard: Guard) -> None:
        self._board = board
        self._guard = guard
        self._calls_seen = 0
        self.paused = False
        """Whether a phase was ended by a pause, because no fence could be written."""

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
        lost = any(incident.kind == "console-lost" for incident in self._guard.incidents(window))
        if self._board.dead is None and not lost and (thorough or self._calls() != self._calls_seen):
            self._cross_fence()
        deadline = time.monotonic() + self.REPORT_END_S
        while self._guard.report_open(window) and time.monotonic() < deadline:
            time.sleep(0.005)

    def _calls(self) -> int:
        return self._board.shell.call_count if "shell" in self._board.has else 0

    def _linger(self, window: Window) -> None:
        """Give an incident that leaves the kernel running a moment to show what follows from it."""
        if all(incident.crash is not None for incident in self._guard.unexpected(window)):
            return
        deadline = time.monotonic() + self.AFTERMATH_S
        while self._board.dead is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def _cross_fence(self) -> None:
        board = self._board
        if board.link is None:  # nobody listens
            return
        if board.fences is None:
            self.paused = True
            time.sleep(self.SETTLE_S)
            return
        started_ns = time.monotonic_ns()
        try:
            crossed = board.fences.cross(lambda: board.dead is not None) is not None
            if not crossed and board.dead is None and (board.log.last_ns or 0) > started_ns:
                # it talks; bytes may have got lost on the way
                crossed = board.fences.cross(lambda: board.dead is not None) is not None
        except (ShellError, BoardDeadError) as error:
            if board.dead is None:
                self._lost(
                    f"fence lost: the shell took no line for /dev/kmsg: {first_line(error)}",
                    "the board hangs, or its network is gone",
                    fatal=True,
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
            self._lost(
                f"console lost: a line written to /dev/kmsg did not come out within {board.fences.SILENCE_S:g} s",
                "the shell still answers, so the kernel lives: look at the UART's wire and adapter",
                fatal=False,
            )

    def _lost(self, title: str, hint: str, *, fatal: bool) -> None:
        """A fence is lost: ask the kernel itself over its UART, and take note."""
        board = self._board
        silence = self._silence()
        said = []
        if board.link is not None and not board.restarting:
            said = ask_kernel(board.link, board.log, "wl", lambda: board.dead is not None)
        if board.dead is not None:  # it has told meanwhile what is wrong
            return
        answered = any("sysrq" in line.lower() and not line.startswith("(") for line in said)
        way = board.link.sysrq_by if board.link is not None else "SysRq"
        what = f"answered {way}" if answered else f"did not answer {way}"
        self._guard.add(
            "console-lost", title, fatal=fatal, hint=f"{hint}; its console {silence}; the kernel {what}", lines=said
        )

    def _silence(self) -> str:
        log = self._board.log
        if log.last_ns is None:
            return "has never said anything"
        ago_s = (time.monotonic_ns() - log.last_ns) / 1e9
        last = [line.text for line in log.lines(max(log.count - 1, 0))]
        words = f": {printable(last[0], 200)!r}" if last else ""
        return f"last said something {ago_s:.1f} s ago{words}"

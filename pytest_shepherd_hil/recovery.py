"""Bringing a dead board back."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError, RecoveryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.board import Board

__all__ = ["recover"]


def recover(board: Board, reason: str, say: Callable[[str], None]) -> None:
    """Restart a board and wait until it is fit for the next test.

    Its power is cycled. A board without a power backend is told to reboot while it still has a shell, and else
    given the time to reboot by itself (``kernel.panic``).

    Args:
        board: the board.
        reason: the headline of what happened to it.
        say: shows a line of progress to the user.

    Raises:
        RecoveryError: it did not come back within its ``boot_timeout_s``.
    """
    started = time.monotonic()
    try:
        board.expect_restart()
        if board.power is not None:
            say(f"{board.name}: power cycle")
            _sync(board)
            board.died(reason)
            board.power.cycle()
        elif board.dead is None and "shell" in board.has:
            say(f"{board.name}: reboot")
            board.shell.run("nohup sh -c 'sleep 1; reboot' >/dev/null 2>&1 &", timeout_s=10.0)
            board.died(reason)
        else:
            say(f"{board.name}: has no [boards.{board.name}.power]; waiting for it to reboot by itself")
        board.restarted(board.config.boot_timeout_s, "restarted")
    except HilError as error:
        text = (
            f"board {board.name} did not come back within {board.config.boot_timeout_s:g} s "
            f"(boot_timeout_s) after: {reason}\n  {error}"
        )
        board.died(text.splitlines()[0])
        raise RecoveryError(text) from error
    say(f"{board.name}: back after {time.monotonic() - started:.1f} s")


def _sync(board: Board) -> None:
    """Spare the file systems of a board that still lives."""
    if board.dead is None and "shell" in board.has:
        with contextlib.suppress(HilError):  # it may hang; then there is nothing to spare
            board.shell.run("sync", timeout_s=10.0, check=False)

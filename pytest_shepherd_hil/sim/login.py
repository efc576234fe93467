"""The getty on the board's serial console: a login prompt, and a shell behind it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from pytest_shepherd_hil.sim.interpreter import interact
from pytest_shepherd_hil.sim.life import PowerLost
from pytest_shepherd_hil.sim.streams import Process
from pytest_shepherd_hil.sim.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.sim.life import Life
    from pytest_shepherd_hil.sim.machine import Machine

__all__ = ["Login"]

ISSUE = b"\nDebian GNU/Linux 10 sim ttyS0\n\n"
PROMPT = b"sim login: "
USER_MAX = 32


class Login:
    """Logs in whoever types a name; there is no password.

    Args:
        machine: the board.
        life: this boot.
        write: takes what goes to the UART.
    """

    def __init__(self, machine: Machine, life: Life, write: Callable[[bytes], None]) -> None:
        self._machine = machine
        self._life = life
        self._terminal = Terminal(write)
        self._closed = False

    def start(self) -> None:
        """Show the prompt."""
        threading.Thread(target=self._run, name="login", daemon=True).start()

    def close(self) -> None:
        """The board is gone."""
        self._closed = True
        self._terminal.hang_up()

    def feed(self, data: bytes) -> None:
        """Take typed bytes."""
        self._terminal.feed(data)

    def _run(self) -> None:
        with contextlib.suppress(PowerLost):
            while not self._closed:
                self._terminal.print(ISSUE + PROMPT)
                name = self._terminal.read_line().decode("utf-8", "replace").strip()[:USER_MAX]
                self._life.check()
                if not name:
                    continue
                process = Process(self._terminal, self._terminal.print, self._terminal.print, user=name)
                interact(self._machine, self._life, process, self._terminal)

"""The live line to a board's console: its port, the thread that watches it, and SysRq over it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.watch import Watch
from pytest_shepherd_hil.errors import ConsoleError, HilError
from pytest_shepherd_hil.kernel.live import LiveDetector

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.boards import ConsoleConfig
    from pytest_shepherd_hil.console.lines import ConsoleLine
    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.console.port import Port, PortLostError
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.kernel.rules import Rules

__all__ = ["Link"]


class Link:
    """Opened once, and again where its adapter was unplugged.

    Args:
        config: the board's console.
        log: the record of all that comes.
        board: name of the board, for error messages.
        rules: what counts as an incident.
        on_incident: told of each incident, in the watch's thread.
        on_line: told of each line once it has been judged, in the watch's thread; returns the kernel's time now, where
            the line is known to be no old one.
        on_lost: told, in the watch's thread, that the port has gone.
        open_port: opens the port.
        ask_shell: has the board's shell do a SysRq command, where the console is read only and there is a shell.
    """

    REOPEN_EVERY_S = 0.2

    def __init__(
        self,
        config: ConsoleConfig,
        log: ConsoleLog,
        *,
        board: str,
        rules: Rules,
        on_incident: Callable[[Incident], None],
        on_line: Callable[[ConsoleLine], float | None],
        on_lost: Callable[[PortLostError], None],
        open_port: Callable[[], Port],
        ask_shell: Callable[[str], None] | None = None,
    ) -> None:
        self.config = config
        self._log = log
        self._board = board
        self._on_incident = on_incident
        self._on_line = on_line
        self._on_lost = on_lost
        self._open_port = open_port
        self._ask_shell = ask_shell
        self._detector = LiveDetector(rules)
        self._port: Port | None = None
        self._watch: Watch | None = None

    def open(self) -> None:
        """Open the port and watch it from here on.

        Raises:
            HilError: it cannot be opened.
        """
        self._port = self._open_port()
        self._watch = Watch(
            self._port, self._log, self._detector, self._on_incident, on_line=self._on_line, on_lost=self._on_lost
        )
        self._watch.start()

    def reopen(self, deadline: float, say: Callable[[str], None]) -> None:
        """Wait for the port to be there again; what the board says then is of a new boot.

        Args:
            deadline: until when to try (``time.monotonic()``).
            say: shows a line of progress.

        Raises:
            HilError: it cannot be opened.
        """
        if self._port is not None:
            self._port.close()
        told = False
        while True:
            try:
                self.open()
            except HilError:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise
                if not told:
                    say(f"{self._board}: waiting for console {self.config.source}, at most {left_s:.0f} s")
                    told = True
                time.sleep(self.REOPEN_EVERY_S)
            else:
                self.new_epoch()
                self._log.wake()
                return

    @property
    def alive(self) -> bool:
        """Whether it is open and being read."""
        return self._watch is not None and self._watch.alive

    @property
    def port(self) -> Port:
        """The port as it is now; an adapter that was plugged in again is another one.

        Raises:
            ConsoleError: it was never opened.
        """
        if self._port is None:
            raise ConsoleError(f"board {self._board}: console {self.config.source} is not open")
        return self._port

    @property
    def overrun_s(self) -> float:
        """How many seconds of a logic analyzer's channel nobody read in time, since it was opened."""
        if not self.read_only:
            return 0.0
        from pytest_shepherd_hil.logic.port import ChannelPort

        return self._port.overrun_s if isinstance(self._port, ChannelPort) else 0.0

    def new_epoch(self) -> None:
        """What comes from now on is the beginning of a new boot, and no incident."""
        if self._watch is not None:
            self._watch.new_epoch()

    @property
    def read_only(self) -> bool:
        """Whether nothing can be sent to the board, as over a logic analyzer."""
        return self.config.read_only

    @property
    def sysrq_by(self) -> str:
        """How SysRq commands get to the kernel, in words."""
        return "SysRq through its shell" if self.read_only else "BREAK and SysRq on it"

    def sysrq(self, key: str) -> None:
        """BREAK, and then a letter: a kernel does it even where nothing else of it runs any more.

        Where the console is read only, the board's shell is asked to, which takes a kernel that still runs it.

        Args:
            key: one of the kernel's SysRq commands: ``w`` and ``l`` show what hangs, ``b`` reboots at once.

        Raises:
            BoardError: the port, or the shell, does not take it.
        """
        if self.read_only:
            if self._ask_shell is None:
                raise ConsoleError(
                    f"board {self._board}: console {self.config.source} is read only, and there is no shell: SysRq "
                    f"{key} cannot be sent"
                )
            self._ask_shell(key)
            return
        self.port.send_break()
        self.port.write(key.encode())

    def stop(self) -> None:
        """Read no more."""
        if self._watch is not None:
            self._watch.stop()

    def close(self) -> None:
        """Close the port."""
        if self._port is not None:
            self._port.close()

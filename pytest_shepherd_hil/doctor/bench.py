"""A board under examination: what has been opened of it so far, for the checks that come after."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_shepherd_hil.boards import ConsoleConfig, SshConfig
from pytest_shepherd_hil.console.console import Console
from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.console.source import open_port
from pytest_shepherd_hil.console.watch import Watch
from pytest_shepherd_hil.guard.fence import Fences
from pytest_shepherd_hil.guard.kmsg import KmsgWriter
from pytest_shepherd_hil.kernel.live import LiveDetector
from pytest_shepherd_hil.lock import BoardLock
from pytest_shepherd_hil.power import CommandPower, ControlPower
from pytest_shepherd_hil.rig.start import start_own
from pytest_shepherd_hil.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.console.port import PortLostError
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
    from pytest_shepherd_hil.power import Power
    from pytest_shepherd_hil.rig.control import Control
    from pytest_shepherd_hil.rig.process import BoardProcess
    from pytest_shepherd_hil.shell import ShellResult

__all__ = ["Bench", "Wire"]

COMMAND_S = 10.0
_FENCE_LEVEL = 3


class Wire:
    """The board's UART, read all the time from now on.

    Args:
        config: which port, and how fast.
        kmsg: writes what is to come out of it; None where there is no shell.
        board: name of the board.
        analyzer: its logic analyzer, where the UART is heard on one of its channels.
        break_sender: as for :class:`~pytest_shepherd_hil.console.port.SerialPort`.

    Raises:
        HilError: it cannot be opened.
    """

    def __init__(
        self,
        config: ConsoleConfig,
        kmsg: KmsgWriter | None,
        *,
        board: str,
        analyzer: LogicAnalyzer | None = None,
        break_sender: Callable[[], None] | None = None,
    ) -> None:
        self.config = config
        self.lost: PortLostError | None = None
        self.log = ConsoleLog()
        self.port = open_port(config, analyzer, board=board, break_sender=break_sender)
        self._board = board
        self._fences = Fences(kmsg, self.log, secrets.token_hex(4)) if kmsg is not None else None
        on_line = self._fences.on_line if self._fences is not None else lambda _: None
        self._watch = Watch(self.port, self.log, LiveDetector(), lambda _: None, on_line=on_line, on_lost=self._gone)
        self._watch.start()

    def _gone(self, error: PortLostError) -> None:
        self.lost = error
        if self._fences is not None:
            self._fences.wake()
        self.log.wake()

    def nonce(self, silence_s: float, longest_s: float = 10.0) -> float | None:
        """Write a line that nobody has ever written to the kernel's log, and wait until it comes out here.

        Args:
            silence_s: how long the UART may be silent meanwhile.
            longest_s: how long to wait while it talks.

        Returns:
            After how many seconds it came; None if it did not, or if the port was lost.

        Raises:
            ShellError: the board did not take it.
        """
        assert self._fences is not None
        self._fences.SILENCE_S = silence_s
        started = time.monotonic()
        out = self._fences.cross(lambda: self.lost is not None, longest_s)
        return None if out is None else time.monotonic() - started

    def console(self) -> Console:
        """A view of what it says from now on."""
        dead = lambda: str(self.lost) if self.lost is not None else None  # noqa: E731
        return Console(self.log, lambda: self.port, board=self._board, dead=dead)

    def close(self) -> None:
        """Give the port back. Closing twice is fine."""
        self._watch.stop()
        self.port.close()
        self.log.close()


class Bench:
    """A board under examination. Checks open its parts; :meth:`close` closes whatever is open.

    Args:
        config: what ``boards.toml`` says of it.
        say: shows a line of progress to the user.

    Attributes:
        ssh: how to reach its shell; of a board of our own only once it has been started.
        console: its console; likewise.
        own: the process of a board of our own, once it has been started.
        lock: excludes test runs meanwhile.
        wire: its UART, once it has been opened.
        heard: what came out of the UART when the nonce was awaited; None where nobody listened.
    """

    def __init__(self, config: BoardConfig, say: Callable[[str], None] = lambda _: None) -> None:
        self.config = config
        self.name = config.name
        self.ssh: SshConfig | None = config.ssh
        self.console: ConsoleConfig | None = config.console
        self.own: BoardProcess[Control] | None = None
        self.lock = BoardLock(config)
        self.wire: Wire | None = None
        self.heard: bytes | None = None
        self._say = say
        self._shell: Shell | None = None
        self._kmsg: KmsgWriter | None = None
        self._analyzer: LogicAnalyzer | None = None
        self._closing = threading.Lock()
        self._closed = False

    @property
    def kind(self) -> str:
        """What sort of board it is."""
        if self.config.sim is not None:
            return "embedded board"
        return "virtual board" if self.config.virtual is not None else "board"

    def lacks(self, table: str) -> str:
        """Why something of it is not checked: ``boards.toml`` has no such table."""
        return f"boards.toml has no [boards.{self.name}.{table}]"

    def start(self) -> None:
        """Start a board of our own.

        Raises:
            HilError: it does not start.
        """
        own = start_own(self.config, self._say)
        with self._closing:
            if self._closed:  # given up meanwhile
                own.close()
                return
            self.own = own
        self.ssh = SshConfig(**asdict(own.ssh), connect_timeout_s=5.0)
        self.console = self.config.console or ConsoleConfig(port=own.uart)

    @property
    def shell(self) -> Shell | None:
        """Its shell, where it has one; not connected yet."""
        if self._shell is None and self.ssh is not None:
            self._shell = Shell(self.ssh, board=self.name)
        return self._shell

    def run(self, command: str, *, sudo: bool | None = None, timeout_s: float = COMMAND_S) -> ShellResult:
        """Run a command on the board, whatever its exit status.

        Raises:
            ShellError: the board cannot be reached, or does not answer in time.
        """
        shell = self.shell
        assert shell is not None
        return shell.run(command, check=False, sudo=sudo, timeout_s=timeout_s)

    def read(self, path: str, *, sudo: bool | None = None) -> str | None:
        """A file of the board's; None if it has none.

        Raises:
            ShellError: the board cannot be reached, or does not answer in time.
        """
        result = self.run(f"cat {path}", sudo=sudo)
        return result.stdout if result.ok else None

    @property
    def power(self) -> Power | None:
        """What switches its power."""
        if self.own is not None:
            return ControlPower(self.own.control)
        return CommandPower(self.config.power, board=self.name) if self.config.power is not None else None

    def open_wire(self, baudrate: int | None = None) -> Wire:
        """Open its UART, at another rate than that of ``boards.toml`` where one is given.

        Raises:
            HilError: it cannot be opened.
        """
        assert self.console is not None
        config = self.console if baudrate is None else self.console.model_copy(update={"baudrate": baudrate})
        self.close_wire()
        sender = self.own.control.send_break if self.own is not None else None
        shell = self.shell
        if self._kmsg is None and shell is not None:
            self._kmsg = KmsgWriter(shell)
        analyzer = self.analyzer if config.read_only else None
        self.wire = Wire(config, self._kmsg, board=self.name, analyzer=analyzer, break_sender=sender)
        return self.wire

    @property
    def analyzer(self) -> LogicAnalyzer:
        """Its logic analyzer; it runs while the wire is one of its channels."""
        if self._analyzer is None:
            from pytest_shepherd_hil.logic.drivers import open_analyzer

            self._analyzer = open_analyzer(self.config, self.own.probe if self.own is not None else None)
        return self._analyzer

    def close_wire(self) -> None:
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.close()

    @contextlib.contextmanager
    def loud(self) -> Iterator[None]:
        """While this holds, errors reach the console even of a kernel that was told to be silent."""
        with self._altered("printk", 8, lambda level: level <= _FENCE_LEVEL):
            yield

    @contextlib.contextmanager
    def sysrq_on(self) -> Iterator[None]:
        """While this holds, the kernel heeds SysRq, as in a test run."""
        with self._altered("sysrq", 1, lambda mask: mask == 0):
            yield

    @contextlib.contextmanager
    def _altered(self, name: str, value: int, needed: Callable[[int], bool]) -> Iterator[None]:
        """Another value of a kernel setting for a moment, where there is a shell and its own does not do."""
        path = f"/proc/sys/kernel/{name}"
        words = ((self.read(path) or "") if self.ssh is not None else "").split()
        before = words[0] if words and words[0].isdigit() else ""
        if not before or not needed(int(before)):
            yield
            return
        self.run(f"echo {value} > {path}")
        try:
            yield
        finally:
            self.run(f"echo {before} > {path}")

    def close(self) -> None:
        """Close all that is open, and end a board of our own. Closing twice is fine."""
        with self._closing:
            self._closed = True
        with contextlib.ExitStack() as parts:  # closes all of them, in reverse, also where one of them fails
            parts.callback(self.lock.release)
            if self.own is not None:
                parts.callback(self.own.close)
            if self._shell is not None:
                parts.callback(self._shell.close)
            if self._kmsg is not None:
                parts.callback(self._kmsg.close)
            if self._analyzer is not None:
                parts.callback(self._analyzer.close)
            parts.callback(self.close_wire)

"""One live board and what is attached to it."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.console import Console
from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.console.port import PortLostError, SerialPort
from pytest_shepherd_hil.console.watch import Watch
from pytest_shepherd_hil.errors import BoardError, ConsoleError, HilError, HostError, MisuseError, ShellError
from pytest_shepherd_hil.guard.fence import Fences
from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.user_rules import layered
from pytest_shepherd_hil.lock import BoardLock
from pytest_shepherd_hil.module import KernelModule
from pytest_shepherd_hil.power import CommandPower, ControlPower, Power
from pytest_shepherd_hil.rig.start import start_own
from pytest_shepherd_hil.shell import Shell
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_shepherd_hil.boards import BoardConfig, ConsoleConfig, SshConfig
    from pytest_shepherd_hil.console.port import Port
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.logic.acquisition import Acquisition
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
    from pytest_shepherd_hil.rig.control import Control
    from pytest_shepherd_hil.rig.process import BoardProcess

__all__ = ["Board"]

_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
_PRINTK = "/proc/sys/kernel/printk"
_SHOW_ALL = 8
"""Console loglevel that shows every message: the kernel shows levels below it, and debug is 7."""


class Board:
    """A board that is open: its console is read and judged from here on, whatever a test does.

    Args:
        config: what ``boards.toml`` says of it.
        console_log: file for the raw console; None keeps it in memory only.
        say: shows a line of progress to the user.
        on_incident: told of each incident, in the console's own thread.
        on_console_lost: told, in the console's own thread, that the console's port has gone.
    """

    PROOF_S = 10.0
    """How long a console that talks all the time may take to show that it is this board's."""

    def __init__(
        self,
        config: BoardConfig,
        *,
        console_log: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
        on_incident: Callable[[Incident], None] = lambda _: None,
        on_console_lost: Callable[[PortLostError], None] = lambda _: None,
    ) -> None:
        self.config = config
        self.name = config.name
        self.log = ConsoleLog(console_log)
        self.dead: str | None = None
        """Why nothing can be asked of the board any more; None while it lives."""
        self.boot_id: str | None = None
        """The running kernel's boot id, where there is a shell."""
        self.fences: Fences | None = None
        """Where the board has both a shell and a console."""
        self._say = say
        self._on_incident = on_incident
        self._on_console_lost = on_console_lost
        self._lock = BoardLock(config)
        self._own: BoardProcess[Control] | None = None
        self._console_config: ConsoleConfig | None = config.console
        self._port: SerialPort | None = None
        self._rules = layered(config.rules)
        self._detector = Detector(self._rules.rules)
        self._watch: Watch | None = None
        self._shell: Shell | None = None
        self._logic: LogicAnalyzer | None = None
        self._power: Power | None = None
        self._loglevel: str | None = None
        self._closing = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Board {self.name}{' (dead)' if self.dead else ''}>"

    # what a test asks for

    @property
    def has(self) -> frozenset[str]:
        """What the board has: any of ``shell``, ``console``, ``logic``, ``module``, ``power``."""
        return self.config.has

    @property
    def shell(self) -> Shell:
        """Its shell.

        Raises:
            MisuseError: it has none.
        """
        if self._shell is None:
            raise self._lacks("ssh")
        return self._shell

    def console(self) -> Console:
        """A view of its console that begins now.

        Raises:
            MisuseError: it has none.
        """
        if self._watch is None:
            raise self._lacks("console")
        nudge = self.fences.nudge if self.fences is not None else None
        return Console(self.log, self._current_port, board=self.name, dead=lambda: self.dead, nudge=nudge)

    @property
    def logic(self) -> LogicAnalyzer:
        """Its logic analyzer.

        Raises:
            MisuseError: it has none.
        """
        if self._logic is None:
            raise self._lacks("logic")
        return self._logic

    def module(self, name: str | None = None) -> KernelModule:
        """Its kernel module, or another one by name.

        Raises:
            MisuseError: ``boards.toml`` names no module for it.
        """
        if self.config.module is None:
            raise self._lacks("module")
        return KernelModule(self.config.module, self.shell, board=self.name, name=name)

    @property
    def power(self) -> Power | None:
        """What switches its power; None where nothing does."""
        return self._power

    @property
    def hardware(self) -> Control:
        """The hands of a board of our own: pull its plug, cut its wires. Real boards have none.

        Raises:
            MisuseError: it is neither embedded nor virtual.
        """
        if self._own is None:
            raise MisuseError(
                f"board {self.name} is neither embedded nor virtual: it has no [boards.{self.name}.sim] and no "
                f"[boards.{self.name}.virtual]"
            )
        return self._own.control

    # opening and closing

    def open(self) -> None:
        """Open everything the board has, and make it fit to be watched.

        Raises:
            HilError: something cannot be opened or does not answer. Nothing is left open then.
        """
        try:
            self._lock.acquire()
            self._attach()
            self._await_shell(self.config.boot_timeout_s if self._own is not None else None)
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        ssh = self.config.ssh
        if self.config.own is not None:
            ssh = self._start_own()
        if ssh is not None:
            self._shell = Shell(ssh, board=self.name)
        if self._shell is not None and self._console_config is not None:
            self.fences = Fences(self._shell, self.log, secrets.token_hex(4))
        if self._console_config is not None:
            self._open_console()
        if self.config.power is not None:
            self._power = CommandPower(self.config.power, board=self.name)
        if self.config.logic is not None:
            self._open_logic()

    def _start_own(self) -> SshConfig:
        from pytest_shepherd_hil.boards import ConsoleConfig, SshConfig

        self._own = own = start_own(self.config, lambda line: self._say(f"{self.name}: {line}"))
        self._power = ControlPower(own.control)
        self._console_config = ConsoleConfig(port=own.uart)
        return SshConfig(**asdict(own.ssh), connect_timeout_s=5.0)

    def _open_console(self) -> None:
        assert self._console_config is not None
        self._port = SerialPort(
            self._console_config.port,
            self._console_config.baudrate,
            board=self.name,
            break_sender=self._own.control.send_break if self._own is not None else None,
        )
        on_line = self.fences.on_line if self.fences is not None else lambda _: None
        self._watch = Watch(
            self._port, self.log, self._detector, self._tell, on_line=on_line, on_lost=self._on_console_lost
        )
        self._watch.start()

    def _tell(self, incident: Incident) -> None:
        if not self._rules.silences(incident):
            self._on_incident(incident)

    def _open_logic(self) -> None:
        from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
        from pytest_shepherd_hil.logic.probe import ProbeSocket
        from pytest_shepherd_hil.logic.sigrok_cli import SigrokCli

        config = self.config.logic
        assert config is not None

        def acquire() -> Acquisition:
            if self._own is not None:
                return ProbeSocket(self._own.probe, config, self.name)
            return SigrokCli(config, self.name)

        self._logic = LogicAnalyzer(config, self.name, acquire)

    def close(self) -> None:
        """Put the board back as it was and close everything. Closing twice is fine."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        with contextlib.ExitStack() as parts:  # closes all of them, in reverse, also where one of them fails
            parts.callback(self._lock.release)
            parts.callback(self.log.close)
            if self._own is not None:
                parts.callback(self._own.close)
            if self._port is not None:
                parts.callback(self._port.close)
            if self._watch is not None:
                parts.callback(self._watch.stop)
            if self._shell is not None:
                parts.callback(self._shell.close)
            if self._logic is not None:
                parts.callback(self._logic.close)
            self._restore()

    def _restore(self) -> None:
        if self._loglevel is None or self._shell is None or self.dead is not None:
            return
        try:
            self._shell.run(f"echo {self._loglevel} > {_PRINTK}", timeout_s=5.0)
        except HilError as error:
            self._say(f"{self.name}: could not put the console loglevel back to {self._loglevel}: {_first_line(error)}")

    # life and death

    def died(self, reason: str) -> None:
        """Nothing can be asked of the board any more: every call fails at once with ``reason``. For any thread."""
        self.dead = reason
        if self._shell is not None:
            self._shell.kill(reason)
        if self.fences is not None:
            self.fences.wake()
        self.log.wake()

    def expect_restart(self) -> None:
        """What the console says from now on is the beginning of a new boot, and no incident."""
        if self._watch is not None:
            self._watch.new_epoch()

    def restarted(self, timeout_s: float) -> None:
        """The board has been restarted: wait for it, and make it fit to be watched again.

        Args:
            timeout_s: how long it may take until its shell answers.

        Raises:
            HilError: it did not come back.
        """
        deadline = time.monotonic() + timeout_s
        if self._watch is not None and not self._watch.alive:
            self._reopen_console(deadline)
        old = self.boot_id
        if self._shell is not None:
            self._shell.revive()
            self._await_shell(max(deadline - time.monotonic(), 1.0), not_boot=old)
        self.dead = None
        self._prepare()

    def _reopen_console(self, deadline: float) -> None:
        assert self._console_config is not None
        if self._port is not None:
            self._port.close()
        told = False
        while True:
            try:
                self._open_console()
                self.expect_restart()
            except HilError:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise
                if not told:
                    self._say(f"{self.name}: waiting for console {self._console_config.port}, at most {left_s:.0f} s")
                    told = True
                time.sleep(0.2)
            else:
                self.log.wake()
                return

    def _await_shell(self, timeout_s: float | None, not_boot: str | None = None) -> None:
        """Wait until the shell answers, from another boot than ``not_boot``; takes note of the boot id."""
        shell = self._shell
        if shell is None:
            return
        limit_s = shell.config.connect_timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + limit_s
        pause_s = 0.05
        while True:
            left_s = max(deadline - time.monotonic(), 0.5)
            try:
                boot_id = shell.run(_BOOT_ID, timeout_s=min(left_s, shell.config.connect_timeout_s), sudo=False).stdout
            except HostError:
                raise
            except ShellError as error:
                if not (error.may_pass or timeout_s is not None) or time.monotonic() + pause_s >= deadline:
                    raise
            else:
                self.boot_id = boot_id.strip()
                if self.boot_id != not_boot:
                    return
                if time.monotonic() >= deadline:
                    raise BoardError(
                        f"board {self.name}: {limit_s:g} s after it was restarted it still runs the old kernel "
                        f"(boot id {self.boot_id}); does the power command switch the right port?"
                    )
                shell.drop()
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 1.0)

    def _prepare(self) -> None:
        """Let every kernel message reach the console, and prove that the console is this board's."""
        if self._shell is None:
            return
        if self._watch is not None:
            self._raise_loglevel(self._shell)
            self._prove_console()

    def _raise_loglevel(self, shell: Shell) -> None:
        now = shell.run(f"cat {_PRINTK}", check=False).stdout.split()
        if not now or not now[0].isdigit() or int(now[0]) >= _SHOW_ALL:
            return
        shell.run(f"echo {_SHOW_ALL} > {_PRINTK}")
        if self._loglevel is None:
            self._say(f"{self.name}: console loglevel raised from {now[0]} to {_SHOW_ALL} for this run")
            self._loglevel = now[0]

    def _prove_console(self) -> None:
        assert self.fences is not None
        before, started = self.log.size, self.log.count
        if self.fences.cross(lambda: not (self.dead is None and self._console_alive()), self.PROOF_S) is not None:
            return
        assert self._console_config is not None
        port = f"console {self._console_config.port} at {self._console_config.baudrate} baud"
        if not self._console_alive():
            raise ConsoleError(f"board {self.name}: {port} was lost while the board was being opened")
        tried = f"a line written to /dev/kmsg over SSH did not come out of {port} within {Fences.SILENCE_S:g} s"
        got = self.log.size - before
        if got == 0:
            raise ConsoleError(
                f"board {self.name}: {tried}; not a single byte did. Check that the adapter's RX is on pin 5 of J1, "
                "ground is connected, and that the kernel has a console on this UART: cat /proc/consoles"
            )
        shown = [f"  | {printable(line.text)}" for line in self.log.lines(started)[-5:]]
        head = f"board {self.name}: {tried}, though {got} bytes did: wrong baud rate, or another board's console?"
        raise ConsoleError("\n".join([head, *shown]))

    def _console_alive(self) -> bool:
        return self._watch is not None and self._watch.alive

    def _current_port(self) -> Port:
        if self._port is None:
            raise self._lacks("console")
        return self._port

    def _lacks(self, table: str) -> MisuseError:
        return MisuseError(f"board {self.name} has no [boards.{self.name}.{table}] in boards.toml")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__

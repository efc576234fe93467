"""One live board and what is attached to it."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from pytest_shepherd_hil.bring_up import await_shell, prove_console
from pytest_shepherd_hil.console.console import Console
from pytest_shepherd_hil.console.link import Link
from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.console.source import open_port
from pytest_shepherd_hil.errors import MisuseError
from pytest_shepherd_hil.guard.expected import expectation
from pytest_shepherd_hil.guard.fence import Fences
from pytest_shepherd_hil.guard.kmsg import KmsgWriter
from pytest_shepherd_hil.identity import Boot, look_at
from pytest_shepherd_hil.kernel.user_rules import layered
from pytest_shepherd_hil.lock import BoardLock
from pytest_shepherd_hil.module import KernelModule
from pytest_shepherd_hil.power import ControlPower, PlannedPower, Power, open_power
from pytest_shepherd_hil.preparation import Preparation
from pytest_shepherd_hil.rig.start import start_own
from pytest_shepherd_hil.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_shepherd_hil.boards import BoardConfig, ConsoleConfig, SshConfig
    from pytest_shepherd_hil.console.port import PortLostError
    from pytest_shepherd_hil.guard.block import IncidentBlock
    from pytest_shepherd_hil.guard.expected import Expectation
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
    from pytest_shepherd_hil.rig.control import Control
    from pytest_shepherd_hil.rig.process import BoardProcess

__all__ = ["Board"]

_SYSRQ_S = 5.0


class Board:
    """A board that is open: its console is read and judged from here on, whatever a test does.

    Args:
        config: what ``boards.toml`` says of it.
        console_log: file for the raw console; None keeps it in memory only.
        say: shows a line of progress to the user.
        on_incident: told of each incident, in the console's own thread.
        on_console_lost: told, in the console's own thread, that the console's port has gone.
        keep_dead: a kernel that panics is to stay as it died, for a person to look at.
        wait_s: how long to wait where somebody else uses it, in seconds.
    """

    def __init__(
        self,
        config: BoardConfig,
        *,
        console_log: Path | None = None,
        say: Callable[[str], None] = lambda _: None,
        on_incident: Callable[[Incident], None] = lambda _: None,
        on_console_lost: Callable[[PortLostError], None] = lambda _: None,
        keep_dead: bool = False,
        wait_s: float = 0.0,
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
        self.on_expect: Callable[[Expectation, float], IncidentBlock] | None = None
        """Makes the block of :meth:`expect_incident`, while a test is guarded."""
        self.on_restart: Callable[[], None] = lambda: None
        """Told that the board is being restarted on purpose."""
        self.boots: list[Boot] = []
        """What ran on it, from the time that it was opened."""
        self._say = say
        self._on_incident = on_incident
        self._on_console_lost = on_console_lost
        self._keep_dead = keep_dead
        self._lock = BoardLock(config, wait_s=wait_s, say=say, console_log=console_log)
        self._own: BoardProcess[Control] | None = None
        self._rules = layered(config.rules)
        self.link: Link | None = None
        """The line to its console, where it has one."""
        self._shell: Shell | None = None
        self._preparation: Preparation | None = None
        self._logic: LogicAnalyzer | None = None
        self._power: Power | None = None
        self._restarting = False
        self._closing = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Board {self.name}{' (dead)' if self.dead else ''}>"

    @property
    def restarting(self) -> bool:
        """Whether it is being restarted on purpose: a boot loader may be counting down."""
        return self._restarting

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
        link = self.link
        if link is None:
            raise self._lacks("console")
        nudge = self.fences.nudge if self.fences is not None else None
        return Console(self.log, lambda: link.port, board=self.name, dead=lambda: self.dead, nudge=nudge)

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
        """What switches its power, on purpose: its ``cycle()`` is :meth:`power_cycle`. None where nothing does."""
        return None if self._power is None else PlannedPower(self.power_cycle)

    @property
    def hardware(self) -> Control:
        """The hands of a board of our own: pull its plug, cut its wires. Real boards have none.

        What they do comes out of the blue, as an accident: a board that they reboot has died, and its test fails. On
        purpose there is :meth:`power_cycle`.

        Raises:
            MisuseError: it is neither embedded nor virtual.
        """
        if self._own is None:
            raise MisuseError(
                f"board {self.name} is neither embedded nor virtual: it has no [boards.{self.name}.sim] and no "
                f"[boards.{self.name}.virtual]"
            )
        return self._own.control

    def expect_incident(
        self,
        kind: str,
        *,
        function: str | None = None,
        match: str | None = None,
        count: int = 1,
        timeout_s: float = 30.0,
    ) -> IncidentBlock:
        """``with board.expect_incident("oops") as inc:``: what is done in the block makes something go wrong.

        An incident of another kind, a missing one and one too many fail the test. A fatal one ends the block's body at
        once; the block swallows that, and the board is back when it has ended. Afterwards ``inc.incident`` is it.

        Args:
            kind: the incident's kind; ``panic`` stands for any fatal one.
            function: the guilty function, where it matters.
            match: regular expression to be found in the headline, where it matters.
            count: how many are to come.
            timeout_s: how long they may take to come, from the block's beginning, in seconds.

        Raises:
            ValueError: an argument is none that can be.
            MisuseError: no test that uses the board is running.
        """
        expected = expectation(kind, function, match, count)
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be more than 0, not {timeout_s!r}")
        if self.on_expect is None:
            raise MisuseError(f"board {self.name}: expect_incident() is for tests and their fixtures")
        return self.on_expect(expected, timeout_s)

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
            self._prepare("found running" if self._own is None else "power on")
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        ssh, console = self.config.ssh, self.config.console
        if self.config.own is not None:
            ssh, console = self._start_own()
        if ssh is not None:
            self._shell = Shell(ssh, board=self.name)
            self._preparation = Preparation(
                self.config, self._shell, self._say, console=console is not None, keep_dead=self._keep_dead
            )
        if self.config.logic is not None:
            self._open_logic()
        if self._shell is not None and console is not None:
            self.fences = Fences(KmsgWriter(self._shell), self.log, secrets.token_hex(4))
        if console is not None:
            self.link = self._link_console(console)
            self.link.open()
        if self.config.power is not None:
            self._power = open_power(self.config.power, board=self.name)
        if self._logic is not None and self.config.logic is not None and self.config.logic.continuous:
            self._logic.keep_running(self._say)

    def _start_own(self) -> tuple[SshConfig, ConsoleConfig]:
        from pytest_shepherd_hil.boards import ConsoleConfig, SshConfig

        self._own = own = start_own(self.config, lambda line: self._say(f"{self.name}: {line}"))
        self._power = ControlPower(own.control)
        # where the analyzer is its console, its serial port is not touched
        console = self.config.console or ConsoleConfig(port=own.uart)
        return SshConfig(**asdict(own.ssh), connect_timeout_s=5.0), console

    def _link_console(self, config: ConsoleConfig) -> Link:
        sender = self._own.control.send_break if self._own is not None else None
        return Link(
            config,
            self.log,
            board=self.name,
            rules=self._rules.rules,
            on_incident=self._tell,
            on_line=self.fences.on_line if self.fences is not None else lambda _: None,
            on_lost=self._on_console_lost,
            open_port=lambda: open_port(config, self._logic, board=self.name, break_sender=sender),
            ask_shell=self._sysrq_by_shell if self._shell is not None else None,
        )

    def _sysrq_by_shell(self, key: str) -> None:
        self.shell.run(f"echo {key} > /proc/sysrq-trigger", timeout_s=_SYSRQ_S)

    def _tell(self, incident: Incident) -> None:
        # bytes of before that are still on their way can use up the announcement of the boot
        wanted = self._restarting and incident.kind == "unexpected-reboot"
        if not wanted and not self._rules.silences(incident):
            self._on_incident(incident)

    def _open_logic(self) -> None:
        from pytest_shepherd_hil.logic.drivers import open_analyzer

        self._logic = open_analyzer(self.config, self._own.probe if self._own is not None else None)

    def _tell_overrun(self, link: Link) -> None:
        lost_s = link.overrun_s
        if lost_s:
            self._say(
                f"{self.name}: {lost_s:.3g} s of console {link.config.source} were overrun, and what it said in them; "
                "this computer was too busy: sample more slowly, or set a larger ring_mb in "
                f"[boards.{self.name}.logic]"
            )

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
            if self._logic is not None:
                parts.callback(self._logic.close)
            if self.link is not None:
                parts.callback(self.link.close)
                parts.callback(self._tell_overrun, self.link)
                parts.callback(self.link.stop)
            if self._shell is not None:
                parts.callback(self._shell.close)
            if self._preparation is not None and self.dead is None:
                self._preparation.restore()

    # life and death

    def died(self, reason: str) -> None:
        """Nothing can be asked of the board any more: every call fails at once with ``reason``. For any thread."""
        self.dead = reason
        if self._shell is not None:
            self._shell.kill(reason)
        if self.fences is not None:
            self.fences.forget()
            self.fences.wake()
        self.log.wake()

    def power_cycle(self) -> None:
        """Cut the power on purpose and wait until the board is fit to be tested again; no incident.

        Raises:
            MisuseError: nothing switches its power.
            HilError: it did not come back.
        """
        self.expect_restart()
        self.cut_power()
        self.restarted(self.config.boot_timeout_s, "power cycle")

    def cut_power(self) -> None:
        """Cut the power for a moment; nothing is announced and nothing waited for.

        Raises:
            MisuseError: nothing switches its power.
            PowerError: it did not work.
        """
        if self._power is None:
            raise self._lacks("power")
        self._power.cycle()

    def expect_restart(self) -> None:
        """What the console says from now on is the beginning of a new boot, and no incident."""
        self._restarting = True
        if self.fences is not None:
            self.fences.forget()
        self.on_restart()
        if self.link is not None:
            self.link.new_epoch()

    def restarted(self, timeout_s: float, cause: str) -> None:
        """The board has been restarted: wait for it, and make it fit to be watched again.

        Args:
            timeout_s: how long it may take until its shell answers.
            cause: how it was restarted, in a few words.

        Raises:
            HilError: it did not come back.
        """
        deadline = time.monotonic() + timeout_s
        if self.link is not None and not self.link.alive:
            self.link.reopen(deadline, self._say)
        old = self.boot_id
        if self._shell is not None:
            self._shell.revive()
            self._await_shell(max(deadline - time.monotonic(), 1.0), not_boot=old)
        self.dead = None
        self._prepare(cause)
        self._restarting = False

    def _await_shell(self, timeout_s: float | None, not_boot: str | None = None) -> None:
        if self._shell is not None:
            self.boot_id = await_shell(self._shell, self.name, timeout_s, not_boot)

    def _prepare(self, cause: str) -> None:
        """Make it fit to be watched, prove that the console is this board's, and take note of what runs."""
        if self._shell is None or self._preparation is None:
            return
        self._preparation.apply()
        if self.link is not None:
            assert self.fences is not None
            prove_console(self.link, self._shell, self.fences, self.log, board=self.name, dead=lambda: self.dead)
        module = self.config.module.name if self.config.module is not None else None
        self.boots.append(look_at(self._shell, self.boot_id, cause, module))

    def _lacks(self, table: str) -> MisuseError:
        return MisuseError(f"board {self.name} has no [boards.{self.name}.{table}] in boards.toml")

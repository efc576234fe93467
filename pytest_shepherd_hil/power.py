"""Switching a board's power."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Protocol

from pytest_shepherd_hil.errors import BoardError, PowerError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import PowerConfig
    from pytest_shepherd_hil.sim.control import SimControl

__all__ = ["CommandPower", "Power", "SimPower"]


class Power(Protocol):
    """Something that can take a board's power away and give it back."""

    def cycle(self) -> None:
        """Off, and on again. Returns when power is on; the board then boots.

        Raises:
            PowerError: it did not work.
        """


class SimPower:
    """The power of an embedded board."""

    def __init__(self, control: SimControl) -> None:
        self._control = control

    def cycle(self) -> None:
        try:
            self._control.power_cycle()
        except BoardError as error:
            raise PowerError(str(error)) from error


class CommandPower:
    """Power switched by commands of this host, as ``boards.toml`` gives them."""

    def __init__(self, config: PowerConfig, *, board: str) -> None:
        self._config = config
        self._board = board

    def cycle(self) -> None:
        if self._config.cycle is not None:
            self._run(self._config.cycle)
            return
        assert self._config.off is not None
        assert self._config.on is not None
        self._run(self._config.off)
        time.sleep(self._config.off_s)
        self._run(self._config.on)

    def _run(self, command: str) -> None:
        where = f"board {self._board}: power command `{printable(command, 200)}`"
        process = subprocess.Popen(  # noqa: S602  a shell's line is what boards.toml promises
            command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=self._config.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise PowerError(f"{where} did not end within {self._config.timeout_s:g} s; it was killed") from error
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # what it started, too: that would keep our pipe open
                process.communicate()
        if process.returncode != 0:
            lines = [f"  | {printable(line)}" for line in output.splitlines()[-10:]]
            raise PowerError("\n".join([f"{where} ended with exit status {process.returncode}", *lines]))

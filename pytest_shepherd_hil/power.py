"""Switching a board's power."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from pytest_shepherd_hil.errors import BoardError, HilError, HostError, PowerError
from pytest_shepherd_hil.text import first_line, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.boards import PowerConfig
    from pytest_shepherd_hil.rig.control import Control

__all__ = ["BACKENDS", "CommandPower", "ControlPower", "PlannedPower", "Power", "open_power"]

BACKENDS = "pytest_shepherd_hil.power"
"""The group of entry points in which other packages name their backends: each makes a :class:`Power` of ``board=``,
its name, and of the keys of ``options`` in ``boards.toml``."""


_PIPE_BYTES = 64 << 10
"""All that a pipe can hold: what stands in it when a command ends is had in one read."""
_LOOK_EVERY_S = 0.05


class Power(Protocol):
    """Something that can take a board's power away and give it back."""

    def cycle(self) -> None:
        """Off, and on again. Returns when power is on; the board then boots.

        Raises:
            PowerError: it did not work.
        """


def open_power(config: PowerConfig, *, board: str) -> Power:
    """The power that ``boards.toml`` describes.

    Raises:
        HostError: there is no such backend here, or it cannot be loaded.
    """
    if config.backend is None:
        return CommandPower(config, board=board)
    where = f"board {board}: power backend {printable(config.backend, 100)!r}"
    known = entry_points(group=BACKENDS)
    if config.backend not in known.names:
        names = ", ".join(sorted(known.names)) or "none"
        raise HostError(
            f"{where} is not installed; there are: {names} (entry points of the group {BACKENDS}). Is its package in "
            "this environment?"
        )
    try:
        made = known[config.backend].load()(board=board, **config.options)
    except Exception as error:
        raise HostError(f"{where} cannot be made: {type(error).__name__}: {first_line(error)}") from error
    if not callable(getattr(made, "cycle", None)):
        raise HostError(f"{where} has no method cycle(): it is none of pytest_shepherd_hil.power.Power")
    return ForeignPower(made, where)


class ForeignPower:
    """A backend of another package; whatever it raises is a :class:`PowerError`."""

    def __init__(self, power: Power, where: str) -> None:
        self._power = power
        self._where = where

    def cycle(self) -> None:
        try:
            self._power.cycle()
        except HilError:
            raise
        except Exception as error:
            raise PowerError(f"{self._where} failed: {type(error).__name__}: {first_line(error)}") from error


class PlannedPower:
    """The power of a board that a test switches on purpose.

    Args:
        cycle: cuts it, and returns when the board is fit to be tested again.
    """

    def __init__(self, cycle: Callable[[], None]) -> None:
        self._cycle = cycle

    def cycle(self) -> None:
        """See :meth:`pytest_shepherd_hil.board.Board.power_cycle`."""
        self._cycle()


class ControlPower:
    """The power of a board of our own."""

    def __init__(self, control: Control) -> None:
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
            start_new_session=True,
        )
        assert process.stdout is not None
        with process.stdout as pipe:
            try:
                output = _until_it_ends(process, pipe.fileno(), self._config.timeout_s)
            finally:
                ended = process.poll() is not None
                if not ended:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)  # what it started, too
                    process.wait()
        if ended and process.returncode == 0:
            return
        if ended:
            how = f"ended with exit status {process.returncode}"
        else:
            how = f"did not end within {self._config.timeout_s:g} s; it was killed"
        lines = [f"  | {printable(line)}" for line in output.decode("utf-8", "replace").splitlines()[-10:]]
        raise PowerError("\n".join([f"{where} {how}", *lines]))


def _until_it_ends(process: subprocess.Popen[bytes], pipe: int, timeout_s: float) -> bytes:
    """The last that a command prints before it ends or its time is over.

    The pipe's end is not waited for: something that the command left running may hold it.
    """
    os.set_blocking(pipe, False)
    output = b""
    deadline = time.monotonic() + timeout_s
    pipes = [pipe]
    while True:
        over = process.poll() is not None or time.monotonic() >= deadline
        readable, _, _ = select.select(pipes, [], [], 0 if over else _LOOK_EVERY_S)
        if readable:
            chunk = os.read(pipe, _PIPE_BYTES)
            output = (output + chunk)[-_PIPE_BYTES:]
            if not chunk:
                pipes = []
        if over:
            return output

"""Starts a board of our own as a child process, and sees to it that it ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.rig.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any, Self

__all__ = ["BoardProcess", "BoardSsh"]

CLOSE_STEP_S = 3.0
READY_MAX = 1 << 16
ControlT_co = TypeVar("ControlT_co", bound=Control, covariant=True)


@dataclass(frozen=True, slots=True)
class BoardSsh:
    """How to log in to a board of our own.

    Attributes:
        host: always the loopback.
        port: TCP port.
        user: who logs in.
        key: the user's private key file.
        known_hosts: file with the board's host key.
        sudo: whether commands must go through ``sudo``.
    """

    host: str
    port: int
    user: str
    key: str
    known_hosts: str
    sudo: bool


class BoardProcess(Generic[ControlT_co]):
    """A board of our own that runs; also a context manager.

    Args:
        module: what Python runs (``-m``). It says on stdout, in one line of JSON, where everything is, and ends when
            its stdin ends.
        arguments: its arguments.
        control: makes the client of its control socket.
        what: the board in a few words, for error messages.
        ready_s: how long it may take until its hardware is there.

    Attributes:
        uart: path of its console's serial device, stable while the adapter is plugged and unplugged.
        ssh: how to log in.
        probe: path of its logic probe's socket.
        pid: its process.

    Raises:
        HostError: it does not start; the message has what it said.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], control: Callable[[str], ControlT_co], *, what: str, ready_s: float
    ) -> None:
        # -P: no file of the folder we happen to be in stands in for a module. -W: its warnings are no test's business.
        command = [sys.executable, "-P", "-W", "ignore", "-m", module, *arguments]
        package = str(Path(__file__).parents[2])
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), package])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process
        process = None
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            ready = _ready(process, ready_s)
            self._process = process
            self.uart: str = ready["uart"]
            self.ssh = BoardSsh(**ready["ssh"])
            self._control = control(ready["control"])
            self.probe: str = ready["probe"]
            self.pid: int = ready["pid"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            if process is not None:
                _end(process)
            self._errors.seek(0)
            said = self._errors.read().decode("utf-8", "replace").strip()
            self._errors.close()
            raise HostError(
                f"{what} did not start ({' '.join(command)}): {error}" + (f"\nit said:\n{said}" if said else "")
            ) from error
        except BaseException:  # Ctrl-C while it starts
            if process is not None:
                _end(process)
            self._errors.close()
            raise

    @property
    def control(self) -> ControlT_co:
        """Its workbench."""
        return self._control

    def close(self) -> None:
        """End it, within 9 s at most. Closing twice is fine."""
        _end(self._process)
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ready(process: subprocess.Popen[bytes], ready_s: float) -> dict[str, Any]:
    assert process.stdout is not None
    until = time.monotonic() + ready_s
    line = b""
    while not line.endswith(b"\n") and len(line) < READY_MAX:
        if not select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
            raise ValueError(f"not ready within {ready_s:g} s")
        data = os.read(process.stdout.fileno(), 4096)
        if not data:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(CLOSE_STEP_S)
            raise ValueError(f"it ended with status {process.returncode}")
        line += data
    ready = json.loads(line)
    if not isinstance(ready, dict):
        raise TypeError(f"it said {line!r}")
    return ready


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    for step in (None, process.terminate, process.kill):
        if step is not None:
            step()
        try:
            process.wait(CLOSE_STEP_S)
            break
        except subprocess.TimeoutExpired:
            continue
    if process.stdout is not None:
        process.stdout.close()

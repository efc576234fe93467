"""Starts an embedded board as a child process, and sees to it that it ends."""

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
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.sim.control import SimControl

if TYPE_CHECKING:
    from types import TracebackType
    from typing import IO, Self

__all__ = ["SimProcess", "SimSsh"]

READY_TIMEOUT_S = 15.0
CLOSE_STEP_S = 3.0
READY_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class SimSsh:
    """How to log in to an embedded board.

    Attributes:
        host: always the loopback.
        port: TCP port.
        user: who logs in.
        key: the user's private key file.
        known_hosts: file with the board's host key.
    """

    host: str
    port: int
    user: str
    key: str
    known_hosts: str


class SimProcess:
    """An embedded board that runs; also a context manager.

    Attributes:
        uart: path of its console's serial device, stable while the adapter is plugged and unplugged.
        ssh: how to log in.
        control: its workbench.
        probe: path of its logic probe's socket.
        pid: its process.
    """

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes], ready: dict[str, Any]) -> None:
        self._process = process
        self._errors = errors
        self.uart: str = ready["uart"]
        self.ssh = SimSsh(**ready["ssh"])
        self.control = SimControl(ready["control"])
        self.probe: str = ready["probe"]
        self.pid: int = ready["pid"]

    @classmethod
    def start(
        cls,
        fault: str = "none",
        fault_after: int | None = None,
        baudrate: int = 115200,
        boot_time_s: float | None = None,
    ) -> SimProcess:
        """Start one; returns when its hardware is there, while it boots.

        Args:
            fault: ``none``, ``racy``, ``cma`` or ``pru``.
            fault_after: at which unload or load the fault shows; the fault's own default where None.
            baudrate: of its UART.
            boot_time_s: from power to login prompt; the sim's own default where None.

        Raises:
            HostError: it does not start; the message has what it said.
        """
        # -P: no file of the folder we happen to be in stands in for a module. -W: its warnings are no test's business.
        command = [sys.executable, "-P", "-W", "ignore", "-m", "pytest_shepherd_hil.sim"]
        command += ["--fault", fault, "--baudrate", str(baudrate)]
        if fault_after is not None:
            command += ["--fault-after", str(fault_after)]
        if boot_time_s is not None:
            command += ["--boot-time", str(boot_time_s)]
        package = str(Path(__file__).parents[2])
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), package])
        errors = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process
        process = None
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )
            return cls(process, errors, _ready(process))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if process is not None:
                _end(process)
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip()
            errors.close()
            raise HostError(
                f"the embedded board did not start ({' '.join(command)}): {error}"
                + (f"\nit said:\n{said}" if said else "")
            ) from error

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


def _ready(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    until = time.monotonic() + READY_TIMEOUT_S
    line = b""
    while not line.endswith(b"\n") and len(line) < READY_MAX:
        if not select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
            raise ValueError(f"not ready within {READY_TIMEOUT_S:g} s")
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

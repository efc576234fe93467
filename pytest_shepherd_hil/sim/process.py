"""Starts an embedded board."""

from __future__ import annotations

from pytest_shepherd_hil.rig.process import BoardProcess
from pytest_shepherd_hil.sim.control import SimControl

__all__ = ["SimProcess"]

READY_S = 15.0


class SimProcess(BoardProcess[SimControl]):
    """An embedded board that runs."""

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
        arguments = ["--fault", fault, "--baudrate", str(baudrate)]
        if fault_after is not None:
            arguments += ["--fault-after", str(fault_after)]
        if boot_time_s is not None:
            arguments += ["--boot-time", str(boot_time_s)]
        return cls("pytest_shepherd_hil.sim", arguments, SimControl, what="the embedded board", ready_s=READY_S)

"""What can be done to an embedded board beside what can be done to any: faults of its network and its kernel."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.sim.logs import UNLOAD_PANIC, log_lines
from pytest_shepherd_hil.sim.network import CableMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.rig.workbench import Operation
    from pytest_shepherd_hil.sim.machine import Machine
    from pytest_shepherd_hil.sim.network import Network

__all__ = ["Faults"]

DELAY_MAX_S = 60.0


class Faults:
    """Operations for a :class:`~pytest_shepherd_hil.rig.workbench.Workbench`.

    Args:
        machine: the board.
        network: its cable.
    """

    def __init__(self, machine: Machine, network: Network) -> None:
        self._machine = machine
        self._network = network

    @property
    def operations(self) -> dict[str, Operation]:
        """Each by its name."""
        machine = self._machine
        return {
            "ssh": self._ssh,
            "hang": lambda _: _must(machine.hang()),
            "reboot": lambda _: _must(machine.kernel() is not None, machine.reset),
            "panic": lambda _: _must(machine.panic_now(log_lines(UNLOAD_PANIC))),
            "printk": self._printk,
            "kernel_lines": self._kernel_lines,
        }

    def _ssh(self, request: dict[str, Any]) -> None:
        mode = request["mode"]
        if mode in ("close", "reset"):
            self._network.end_all(reset=mode == "reset")
        else:
            self._network.set_cable(CableMode(mode))

    def _printk(self, request: dict[str, Any]) -> None:
        kernel = self._machine.kernel()
        _must(kernel is not None)
        assert kernel is not None
        level = int(request.get("level", 6))
        if not 0 <= level <= 7:
            raise ValueError(f"level {level}: give 0 to 7")
        age_s = float(request.get("age_s", 0.0))
        if not 0 <= age_s <= kernel.time_s:
            raise ValueError(f"age_s {age_s:g}: give 0 to {kernel.time_s:g}, the time since boot")
        newline = bool(request.get("newline", True))
        kernel.printk(level, str(request["text"]), newline=newline, at_s=kernel.time_s - age_s)

    def _kernel_lines(self, request: dict[str, Any]) -> None:
        kernel = self._machine.kernel()
        _must(kernel is not None)
        assert kernel is not None
        delay_s = float(request.get("delay_s", 0))
        lines = str(request["text"]).removesuffix("\n").split("\n")
        level = int(request.get("level", 0))
        if not 0 <= delay_s <= DELAY_MAX_S:
            raise ValueError(f"delay_s {delay_s}: give 0 to {DELAY_MAX_S:g}")

        def speak() -> None:
            pause = threading.Event()
            for line in lines:
                kernel.printk(level, line)
                if delay_s and pause.wait(delay_s):
                    return
                if self._machine.kernel() is not kernel:
                    return

        if delay_s:
            threading.Thread(target=speak, name="kernel lines", daemon=True).start()
        else:
            speak()


def _must(done: bool, then: Callable[[], None] | None = None) -> None:
    if not done:
        raise ValueError("the board has no power, or its kernel is dead already")
    if then is not None:
        then()

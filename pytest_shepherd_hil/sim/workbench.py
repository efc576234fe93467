"""The control socket: what hands at a workbench do to a board and its cables."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.sim.logs import UNLOAD_PANIC, log_lines
from pytest_shepherd_hil.sim.network import CableMode
from pytest_shepherd_hil.sim.uart import Source
from pytest_shepherd_hil.sim.wire import read_line, serve_clients

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from pytest_shepherd_hil.sim.machine import Machine
    from pytest_shepherd_hil.sim.network import Network

__all__ = ["Workbench"]

GARBAGE_MAX = 1 << 20
DELAY_MAX_S = 60.0


class Workbench:
    """Serves the control socket; one JSON object a line, each answered by one.

    Args:
        path: of the socket.
        machine: the board.
        network: its cable.
    """

    def __init__(self, path: Path, machine: Machine, network: Network) -> None:
        self._machine = machine
        self._network = network
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, object] | None]] = {
            "power": self._power,
            "status": lambda _: machine.status(),
            "break": lambda _: machine.send_break(),
            "uart_unplug": lambda _: machine.uart.unplug(),
            "uart_plug": lambda _: machine.uart.plug(),
            "uart_mute": self._mute,
            "uart_garbage": self._garbage,
            "uart_send": self._send,
            "ssh": self._ssh,
            "hang": lambda _: _must(machine.hang()),
            "reboot": lambda _: _must(machine.kernel() is not None, machine.reset),
            "panic": lambda _: _must(machine.panic_now(log_lines(UNLOAD_PANIC))),
            "printk": self._printk,
            "kernel_lines": self._kernel_lines,
        }
        self._listener = serve_clients(path, self._serve, "workbench")

    def close(self) -> None:
        """Take no more clients."""
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        rest = b""
        with client, contextlib.suppress(OSError):
            while True:
                line, rest = read_line(client, rest)
                if not line:
                    return
                client.sendall(json.dumps(self._answer(line)).encode() + b"\n")

    def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
        except ValueError:
            return {"ok": False, "error": f"not a line of JSON: {line[:80]!r}"}
        if not isinstance(request, dict):
            return {"ok": False, "error": "not a JSON object"}
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            known = ", ".join(self._operations)
            return {"ok": False, "error": f"unknown op {request.get('op')!r}; known: {known}"}
        try:
            return {"ok": True, **(operation(request) or {})}
        except (ValueError, TypeError, KeyError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            return {"ok": False, "error": f"{request['op']}: {reason}"}

    def _power(self, request: dict[str, Any]) -> None:
        match request["state"]:
            case "on":
                self._machine.power_on()
            case "off":
                self._machine.power_off()
            case "cycle":
                self._machine.power_cycle()
            case other:
                raise ValueError(f"state {other!r} is none of on, off, cycle")

    def _mute(self, request: dict[str, Any]) -> None:
        self._machine.uart.mute(bool(request["on"]))

    def _garbage(self, request: dict[str, Any]) -> None:
        count = int(request["bytes"])
        if not 0 <= count <= GARBAGE_MAX:
            raise ValueError(f"bytes {count}: give 0 to {GARBAGE_MAX}")
        noise = random.Random(int(request.get("seed", 0))).randbytes(count)  # noqa: S311 -- noise, not a secret
        self._machine.uart.send(noise, Source.NOISE)

    def _send(self, request: dict[str, Any]) -> None:
        data = bytes.fromhex(request["hex"]) if "hex" in request else str(request["text"]).encode()
        self._machine.uart.send(data, Source.USER)

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
        kernel.printk(level, str(request["text"]), newline=bool(request.get("newline", True)))

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

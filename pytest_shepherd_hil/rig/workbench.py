"""The control socket: what hands at a workbench do to a board and its cables."""

from __future__ import annotations

import contextlib
import json
import random
from typing import TYPE_CHECKING, Any, Protocol

from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.rig.uart import Source
from pytest_shepherd_hil.rig.wire import read_line, serve_clients

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pytest_shepherd_hil.rig.probe import Probe
    from pytest_shepherd_hil.rig.uart import Uart

    Operation = Callable[[dict[str, Any]], Mapping[str, object] | None]

__all__ = ["Hardware", "Workbench"]

GARBAGE_MAX = 1 << 20


class Hardware(Protocol):
    """The board on the bench."""

    @property
    def uart(self) -> Uart: ...
    def power_on(self) -> None: ...
    def power_off(self) -> None: ...
    def power_cycle(self) -> None: ...
    def send_break(self) -> None: ...
    def status(self) -> dict[str, object]: ...


class Workbench:
    """Serves the control socket; one JSON object a line, each answered by one.

    Args:
        path: of the socket.
        machine: the board.
        probe: the logic probe on it.
        operations: what can be done to this board beside what can be done to any, by name.
    """

    def __init__(
        self, path: Path, machine: Hardware, probe: Probe, operations: Mapping[str, Operation] | None = None
    ) -> None:
        self._machine = machine
        self._operations: dict[str, Operation] = {
            "power": self._power,
            "status": lambda _: machine.status(),
            "break": lambda _: machine.send_break(),
            "uart_unplug": lambda _: machine.uart.unplug(),
            "uart_plug": lambda _: machine.uart.plug(),
            "uart_mute": self._mute,
            "uart_garbage": self._garbage,
            "uart_send": self._send,
            "probe_unplug": lambda _: probe.unplug(),
            "probe_plug": lambda _: probe.plug(),
            **(operations or {}),
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
        except (HilError, ValueError, TypeError, KeyError) as error:
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

"""The client of a board's control socket: what hands at a workbench do to a board's power, UART adapter and wires."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.errors import BoardError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Control"]

ANSWER_MAX = 1 << 20


class Control:
    """Speaks to the control socket; each call is a connection of its own, so any thread may use it.

    Every method raises :class:`~pytest_shepherd_hil.errors.BoardError` if the board's process is gone, does not answer
    in time, or cannot do it.

    Args:
        path: the socket.
        what: the board in a few words, for error messages.
        timeout_s: how long an answer may take.
    """

    def __init__(self, path: str | Path, what: str, timeout_s: float) -> None:
        self.path = str(path)
        self.timeout_s = timeout_s
        self._what = what

    def power_on(self) -> None:
        """Apply power; nothing happens if it is on."""
        self._ask("power", state="on")

    def power_off(self) -> None:
        """Cut the power."""
        self._ask("power", state="off")

    def power_cycle(self) -> None:
        """Cut the power and give it back; returns when it is on again."""
        self._ask("power", state="cycle")

    def status(self) -> dict[str, Any]:
        """How the board is now; at least ``power`` ("on" or "off") and ``epoch`` (boots so far)."""
        return self._ask("status")

    def send_break(self) -> None:
        """A BREAK on the UART: the next byte within 5 s is a SysRq command."""
        self._ask("break")

    def unplug_uart(self) -> None:
        """Pull the UART adapter: its device hangs up and vanishes."""
        self._ask("uart_unplug")

    def plug_uart(self) -> None:
        """Plug the UART adapter in again: a new device, the same symlink."""
        self._ask("uart_plug")

    def unplug_probe(self) -> None:
        """Pull the logic probe's plug: what it records ends in the middle."""
        self._ask("probe_unplug")

    def plug_probe(self) -> None:
        """Plug the logic probe in again."""
        self._ask("probe_plug")

    def mute_uart(self, on: bool = True) -> None:
        """Cut the wire from the board's TX (or mend it); the device stays."""
        self._ask("uart_mute", on=on)

    def garbage(self, count: int, seed: int = 0) -> None:
        """Put ``count`` random bytes on the wire, paced as any others."""
        self._ask("uart_garbage", bytes=count, seed=seed)

    def uart_send(self, data: str | bytes) -> None:
        """Put bytes on the wire as if the board's user space wrote them."""
        if isinstance(data, bytes):
            self._ask("uart_send", hex=data.hex())
        else:
            self._ask("uart_send", text=data)

    def _ask(self, op: str, **arguments: object) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
                end.settimeout(self.timeout_s)
                end.connect(self.path)
                end.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
                answer = b""
                while not answer.endswith(b"\n") and len(answer) < ANSWER_MAX:
                    data = end.recv(65536)
                    if not data:
                        raise BoardError(f"{self._what}: {op}: its process at {self.path} ended while being asked")
                    answer += data
        except TimeoutError as error:
            raise BoardError(f"{self._what}: {op}: no answer from {self.path} in {self.timeout_s:g} s") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise BoardError(f"{self._what}: {op}: its process at {self.path} is gone: {reason}") from error
        result: dict[str, Any] = json.loads(answer)
        if not result.pop("ok", False):
            raise BoardError(f"{self._what}: {op}: {result.get('error', 'failed')}")
        return result

"""The client of an embedded board's control socket: hands that switch power, pull cables and disturb lines."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Literal

from pytest_shepherd_hil.errors import BoardError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SimControl", "SshMode"]

SshMode = Literal["ok", "close", "reset", "silent", "refuse", "garbage", "mute"]
ANSWER_MAX = 1 << 20


class SimControl:
    """Speaks to the control socket; each call is a connection of its own, so any thread may use it.

    Every method raises :class:`~pytest_shepherd_hil.errors.BoardError` if the sim is gone, does not answer in time, or
    cannot do it.

    Args:
        path: the socket.
        timeout_s: how long an answer may take.
    """

    def __init__(self, path: str | Path, timeout_s: float = 5.0) -> None:
        self.path = str(path)
        self.timeout_s = timeout_s

    def power_on(self) -> None:
        """Apply power; nothing happens if it is on."""
        self._ask("power", state="on")

    def power_off(self) -> None:
        """Cut the power."""
        self._ask("power", state="off")

    def power_cycle(self) -> None:
        """Cut the power for 50 ms; returns when it is on again, with the board booting."""
        self._ask("power", state="cycle")

    def status(self) -> dict[str, Any]:
        """How the board is now.

        Returns:
            ``power`` ("on" or "off"), ``booted``, ``boot_id``, ``epoch`` (boots so far), ``kernel_time_s``,
            ``panicked``, ``hung``.
        """
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

    def ssh(self, mode: SshMode) -> None:
        """Change what the network does.

        Args:
            mode: ``close`` and ``reset`` end all established connections, once, by FIN or RST; ``silent``: nothing
                passes any more and new connections get no answer; ``refuse``: new connections are refused;
                ``garbage``: they get noise; ``mute``: they are accepted and never hear a word; ``ok``: as it was.
        """
        self._ask("ssh", mode=mode)

    def hang(self) -> None:
        """User space and network stop; the kernel still prints and still obeys SysRq."""
        self._ask("hang")

    def reboot(self) -> None:
        """Out of the blue, without a word."""
        self._ask("reboot")

    def panic(self) -> None:
        """The panic of the seed's first log, now."""
        self._ask("panic")

    def printk(self, text: str, level: int = 3, newline: bool = True) -> None:
        """The kernel prints; without ``newline`` it holds the message back until the next."""
        self._ask("printk", text=text, level=level, newline=newline)

    def kernel_lines(self, text: str, delay_s: float = 0.0) -> None:
        """The kernel prints each line of ``text``, ``delay_s`` apart; returns at once."""
        self._ask("kernel_lines", text=text, delay_s=delay_s)

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
                        raise BoardError(f"embedded board: {op}: the sim at {self.path} ended while being asked")
                    answer += data
        except TimeoutError as error:
            raise BoardError(f"embedded board: {op}: no answer from {self.path} in {self.timeout_s:g} s") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise BoardError(f"embedded board: {op}: the sim at {self.path} is gone: {reason}") from error
        result: dict[str, Any] = json.loads(answer)
        if not result.pop("ok", False):
            raise BoardError(f"embedded board: {op}: {result.get('error', 'failed')}")
        return result

"""The client of an embedded board's control socket: hands, and the power to make its kernel say and do things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pytest_shepherd_hil.rig.control import Control

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SimControl", "SshMode"]

SshMode = Literal["ok", "close", "reset", "silent", "refuse", "garbage", "mute"]


class SimControl(Control):
    """What can be done to an embedded board, beside what can be done to any.

    Args:
        path: the socket.
        timeout_s: how long an answer may take.
    """

    def __init__(self, path: str | Path, timeout_s: float = 5.0) -> None:
        super().__init__(path, "embedded board", timeout_s)

    def status(self) -> dict[str, Any]:
        """How the board is now.

        Returns:
            ``power`` ("on" or "off"), ``booted``, ``boot_id``, ``epoch`` (boots so far), ``kernel_time_s``,
            ``panicked``, ``hung``.
        """
        return self._ask("status")

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

    def printk(self, text: str, level: int = 3, newline: bool = True, age_s: float = 0.0) -> None:
        """The kernel prints; without ``newline`` it holds the message back until the next.

        Args:
            age_s: how long ago another processor said it, in seconds; it comes out only now.
        """
        self._ask("printk", text=text, level=level, newline=newline, age_s=age_s)

    def kernel_lines(self, text: str, delay_s: float = 0.0) -> None:
        """The kernel prints each line of ``text``, ``delay_s`` apart; returns at once."""
        self._ask("kernel_lines", text=text, delay_s=delay_s)

"""What a command on the board reads and writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BytesInput", "Capture", "Input", "Process", "no_output"]

LIMIT = 1 << 22


class Input(ABC):
    """A command's standard input."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._ended = False

    @abstractmethod
    def fill(self) -> bytes:
        """Wait for more; empty at the end."""

    def read_some(self) -> bytes:
        """What is there, at least a byte; empty at the end."""
        if not self._waiting:
            self._more()
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def read_line(self) -> bytes:
        """A line with its newline; the last may lack it; empty at the end."""
        scanned = 0
        while (end := self._waiting.find(b"\n", scanned)) < 0 and len(self._waiting) < LIMIT:
            scanned = len(self._waiting)
            if not self._more():
                end = len(self._waiting) - 1
                break
        line = bytes(self._waiting[: end + 1])
        del self._waiting[: end + 1]
        return line

    def read_all(self) -> bytes:
        """Everything up to the end."""
        while len(self._waiting) < LIMIT and self._more():
            pass
        return self.read_some()

    def _more(self) -> bool:
        if not self._ended:
            data = self.fill()
            self._ended = not data
            self._waiting += data
        return not self._ended


class BytesInput(Input):
    """Input that is all there."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__()
        self._waiting += data

    def fill(self) -> bytes:
        return b""


class Capture:
    """Output that is kept for the next command of a pipe."""

    def __init__(self) -> None:
        self.data = bytearray()

    def __call__(self, data: bytes) -> None:
        if len(self.data) < LIMIT:
            self.data += data


def no_output(_: bytes) -> None:
    """``/dev/null``."""


def _never() -> bool:
    return False


@dataclass(slots=True)
class Process:
    """Who runs a command, and where its bytes go.

    Attributes:
        stdin: what it reads.
        stdout: takes what it prints.
        stderr: takes what it complains.
        user: whose it is; ``root`` may do everything.
        env: its environment.
        cwd: its folder.
        gone: whether nobody waits for it any more.
    """

    stdin: Input
    stdout: Callable[[bytes], None]
    stderr: Callable[[bytes], None]
    user: str = "debian"
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/home/debian"
    gone: Callable[[], bool] = _never

    @property
    def is_root(self) -> bool:
        """Whether it runs as root."""
        return self.user == "root"

    def out(self, text: str) -> None:
        """Print."""
        self.stdout(text.encode("utf-8", "surrogateescape"))

    def err(self, text: str) -> None:
        """Complain."""
        self.stderr(text.encode("utf-8", "surrogateescape"))

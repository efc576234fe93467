"""The kernel's log: printk, its ring, its console and its loglevel, as Linux 4.19 has them."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ALERT", "DEFAULT_LOGLEVELS", "EMERG", "ERR", "INFO", "NOTICE", "RELEASE", "WARNING", "Kernel", "Record"]

RELEASE = "4.19.94-ti-r73"
EMERG, ALERT, ERR, WARNING, NOTICE, INFO = 0, 1, 3, 4, 5, 6
DEFAULT_LOGLEVELS = (4, 4, 1, 7)
RING = 4000
LINE_MAX = 960
RAMOOPS = 1 << 14


@dataclass(frozen=True, slots=True)
class Record:
    """One entry of the kernel's log.

    Attributes:
        sequence: its number since boot.
        level: 0 (emergency) to 7 (debug).
        time_us: kernel time, in microseconds since boot.
        text: the message; may have several lines.
    """

    sequence: int
    level: int
    time_us: int
    text: str

    @property
    def lines(self) -> list[str]:
        """The message as it is printed: each line behind its time."""
        prefix = f"[{self.time_us // 1_000_000:5d}.{self.time_us % 1_000_000:06d}] "
        return [prefix + line for line in self.text.split("\n")]

    @property
    def kmsg(self) -> str:
        """The message as ``/dev/kmsg`` gives it."""
        return f"{self.level},{self.sequence},{self.time_us},-;" + self.text.replace("\n", "\\x0a") + "\n"


class Kernel:
    """printk and what belongs to it.

    Args:
        console: takes the bytes that go to the UART.
    """

    def __init__(self, console: Callable[[bytes], None]) -> None:
        self.loglevels = list(DEFAULT_LOGLEVELS)
        self._console = console
        self._started = time.monotonic()
        self._lock = threading.RLock()
        self._news = threading.Condition(self._lock)
        self._ring: deque[Record] = deque(maxlen=RING)
        self._cleared = 0
        self._sequence = 0
        self._held: tuple[int, int, str] | None = None

    def start_clock(self) -> None:
        """Kernel time is 0 now."""
        self._started = time.monotonic()

    @property
    def time_s(self) -> float:
        """Kernel time: seconds since boot."""
        return time.monotonic() - self._started

    def printk(self, level: int, text: str, *, newline: bool = True, at_s: float | None = None) -> None:
        """Print a message.

        Args:
            level: 0 to 7.
            text: the message, without its final newline.
            newline: whether it ends in one; if not it is held back until the next message, as 4.19 does.
            at_s: kernel time to print instead of now.
        """
        with self._lock:
            time_us = int((self.time_s if at_s is None else at_s) * 1_000_000 + 0.5)
            if self._held is not None:
                held, self._held = self._held, None
                self._store(*held)
            if newline:
                self._store(level, time_us, text)
            else:
                self._held = (level, time_us, text)

    def write_kmsg(self, data: bytes) -> None:
        """One write to ``/dev/kmsg``: an optional ``<N>``, the text, and a newline unless it is to be held back."""
        text = data.decode("utf-8", "replace")
        level = self.loglevels[1]
        if text.startswith("<") and (number := text[1:5].partition(">")[0]).isdigit() and ">" in text[1:5]:
            level = int(number) & 7
            text = text[len(number) + 2 :]
        newline = text.endswith("\n")
        self.printk(level, text.removesuffix("\n")[:LINE_MAX], newline=newline)

    def records(self) -> list[Record]:
        """What ``dmesg`` shows."""
        with self._lock:
            return [record for record in self._ring if record.sequence >= self._cleared]

    def records_after(self, sequence: int, timeout_s: float) -> list[Record]:
        """Records from number ``sequence`` on; waits up to ``timeout_s`` for the first."""
        with self._news:
            self._news.wait_for(lambda: self._sequence > sequence, timeout_s)
            return [record for record in self._ring if record.sequence >= sequence]

    def last_words(self) -> str:
        """The newest part of the log, as ramoops keeps it through a reset."""
        with self._lock:
            return "".join(f"<{one.level}>{line}\n" for one in self._ring for line in one.lines)[-RAMOOPS:]

    def clear(self) -> None:
        """``dmesg -C``."""
        with self._lock:
            self._cleared = self._sequence

    def _store(self, level: int, time_us: int, text: str) -> None:
        record = Record(self._sequence, level, time_us, text)
        self._sequence += 1
        self._ring.append(record)
        self._news.notify_all()
        if level < self.loglevels[0]:
            self._console("".join(line + "\r\n" for line in record.lines).encode("utf-8", "replace"))

"""A board's UART for the tests of the console: a pty that a real serial port opens, and the watch over it."""

from __future__ import annotations

import os
import pty
import queue
import select
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.console import Console
from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.console.port import PortLostError, SerialPort
from pytest_shepherd_hil.console.watch import Watch
from pytest_shepherd_hil.kernel.live import LiveDetector

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.console.lines import ConsoleLine
    from pytest_shepherd_hil.kernel.incident import Incident

WAIT_S = 10.0
"""Longer than anything here takes; only a failing test waits so long."""


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Uart:
    """The board's end of a serial line."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        self.path = os.ttyname(slave)
        os.close(slave)

    def say(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._master, data) :]

    def heard(self, size: int) -> bytes:
        """The next bytes that were sent to the board."""
        data = b""
        while len(data) < size and select.select([self._master], [], [], WAIT_S)[0]:
            data += os.read(self._master, size - len(data))
        return data

    def unplug(self) -> None:
        if self._master >= 0:
            os.close(self._master)
        self._master = -1


class WatchedUart:
    """A UART, its serial port, and a watch that reads it into a log, with queues of what the watch tells."""

    def __init__(self, break_sender: Callable[[], None] | None = None) -> None:
        self.uart = Uart()
        self.port = SerialPort(self.uart.path, 115200, board="b", break_sender=break_sender)
        self.log = ConsoleLog()
        self.dead: str | None = None
        self.incidents: queue.Queue[Incident] = queue.Queue()
        self.lines: queue.Queue[ConsoleLine] = queue.Queue()
        self.lost: queue.Queue[PortLostError] = queue.Queue()
        self.watch = Watch(
            self.port,
            self.log,
            LiveDetector(),
            self.incidents.put,
            on_line=self.lines.put,
            on_lost=self.lost.put,
        )
        self.watch.start()

    def say(self, text: str) -> None:
        self.uart.say(text.encode())

    def said(self, text: str) -> None:
        """Say lines, and wait until the watch has judged the last of them."""
        self.say(text)
        for _ in range(text.count("\n")):
            self.lines.get(timeout=WAIT_S)

    def console(self, nudge: Callable[[float], None] | None = None) -> Console:
        return Console(self.log, lambda: self.port, board="b", dead=lambda: self.dead, nudge=nudge)

    def dies(self, reason: str) -> None:
        self.dead = reason
        self.log.wake()

    def close(self) -> None:
        self.watch.stop()
        self.port.close()
        self.uart.unplug()
        self.log.close()


def soon(action: Callable[[], object]) -> threading.Timer:
    """Do something from another thread while this one waits."""
    timer = threading.Timer(0.05, action)
    timer.start()
    return timer

"""The board's UART: a pty that carries bytes no faster than its baud rate, and never waits for a reader."""

from __future__ import annotations

import contextlib
import enum
import os
import select
import termios
import threading
import time
import tty
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Source", "Uart"]

BITS_PER_BYTE = 10
BLOCK_S = 0.004
CATCH_UP_S = 1.0
QUEUE_LIMIT = 1 << 20


class Source(enum.IntEnum):
    """Who puts bytes on the wire; the lower one goes first, as a kernel's printk cuts into what user space writes."""

    NOISE = 0
    KERNEL = 1
    USER = 2


class Uart:
    """8n1 over a pty.

    Args:
        link: path of the stable symlink to the current pty.
        baudrate: bits a second.
        receive: called from the receiver's own thread with bytes that came in.
    """

    def __init__(self, link: Path, baudrate: int, receive: Callable[[bytes], None]) -> None:
        self.baudrate = baudrate
        self._link = link
        self._receive = receive
        self._changed = threading.Condition()
        self._queues: dict[Source, bytearray] = {source: bytearray() for source in Source}
        self._taps: list[Callable[[float, bytes], None]] = []
        self._stop = threading.Event()
        self._muted = False
        self._ends = threading.RLock()
        self._master: int | None = None
        self._slave: int | None = None
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)
        self.plug()

    def start(self) -> None:
        """Begin to send and to receive."""
        for target in (self._transmit, self._listen):
            threading.Thread(target=target, name=f"uart {target.__name__}", daemon=True).start()

    def close(self) -> None:
        """Stop both threads and hang up."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self.unplug()

    def send(self, data: bytes, source: Source) -> None:
        """Queue bytes for the wire; what one call queues is not cut by a higher ``source`` number."""
        with self._changed:
            queue = self._queues[source]
            if len(queue) + len(data) <= QUEUE_LIMIT:
                queue += data
                self._changed.notify_all()

    @property
    def backlog(self) -> int:
        """Bytes that are queued and not yet sent."""
        with self._changed:
            return sum(map(len, self._queues.values()))

    def discard(self, *sources: Source) -> None:
        """Forget what is queued and not yet sent."""
        with self._changed:
            for source in sources:
                self._queues[source].clear()

    def mute(self, on: bool) -> None:
        """Cut the wire, or mend it. The pty stays."""
        with self._changed:
            self._muted = on

    def tap(self, see: Callable[[float, bytes], None]) -> None:
        """Call ``see(start_s, data)`` for each block that goes over the wire, at its start (monotonic seconds)."""
        with self._changed:
            self._taps.append(see)

    def untap(self, see: Callable[[float, bytes], None]) -> None:
        """Undo :meth:`tap`."""
        with self._changed, contextlib.suppress(ValueError):
            self._taps.remove(see)

    def plug(self) -> None:
        """Make a pty where there is none, and point the symlink to it."""
        with self._ends:
            if self._master is not None or self._stop.is_set():
                return
            master, slave = os.openpty()
            tty.setraw(slave, termios.TCSANOW)
            os.set_blocking(master, False)
            fresh = self._link.with_name(self._link.name + ".new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(os.ttyname(slave))
            fresh.replace(self._link)
            self._master, self._slave = master, slave
        self._wake()

    def unplug(self) -> None:
        """Take the adapter away: whoever has the port open sees a hang-up."""
        with self._ends:
            self._link.unlink(missing_ok=True)
            for end in (self._master, self._slave):
                if end is not None:
                    os.close(end)
            self._master = self._slave = None
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_w, b"w")

    def _transmit(self) -> None:
        free_at = 0.0
        size = max(1, int(self.baudrate / BITS_PER_BYTE * BLOCK_S))
        while True:
            with self._changed:
                if not any(self._queues.values()):
                    while not any(self._queues.values()) and not self._stop.is_set():
                        self._changed.wait()
                    free_at = max(free_at, time.monotonic())
                if self._stop.is_set():
                    return
                queue = next(queue for queue in self._queues.values() if queue)
                data = bytes(queue[:size])
                del queue[:size]
                muted = self._muted
                taps = () if muted else tuple(self._taps)
            free_at = max(free_at, time.monotonic() - CATCH_UP_S)
            for see in taps:
                see(free_at, data)
            free_at += len(data) * BITS_PER_BYTE / self.baudrate
            if self._stop.wait(max(0.0, free_at - time.monotonic())):
                return
            if not muted:
                self._put(data)

    def _put(self, data: bytes) -> None:
        with self._ends:
            if self._master is not None:
                with contextlib.suppress(OSError):  # full, or hung up: a UART does not wait
                    os.write(self._master, data)

    def _listen(self) -> None:
        while not self._stop.is_set():
            poll = select.poll()
            poll.register(self._wake_r, select.POLLIN)
            with self._ends:
                master = self._master
                if master is not None:
                    poll.register(master, select.POLLIN)
            ready = dict(poll.poll())
            if self._wake_r in ready:
                os.read(self._wake_r, 64)
                continue
            data = b""
            with self._ends:
                if self._master == master and master is not None:
                    with contextlib.suppress(OSError):
                        data = os.read(master, 4096)
            if data:
                self._receive(data)

"""The virtual board: power over QEMU processes, and the wires that stay when one ends."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardError
from pytest_shepherd_hil.rig.signals import Signals
from pytest_shepherd_hil.rig.uart import Source, Uart
from pytest_shepherd_hil.virtual.qemu import READY, VERBOSE, Qemu

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_shepherd_hil.virtual.qemu import Image, Snapshot

__all__ = ["Machine"]

BACKLOG = 256 << 10
"""Bytes that may wait for the UART's wire, 22 s at 115200 baud, before the board has to wait for it, too."""


class Machine:
    """A board. All methods may be called from any thread.

    Args:
        image: what it boots.
        snapshot: a booted board from which it goes on; None boots it each time.
        uart_link: where the symlink to its UART is to be.
        ssh_port: port on the loopback that leads to its SSH server.
        baudrate: of its UART.
    """

    def __init__(self, image: Image, snapshot: Snapshot | None, uart_link: Path, ssh_port: int, baudrate: int) -> None:
        self.signals = Signals()
        self.uart = Uart(uart_link, baudrate, self._receive)
        self._image = image
        self._snapshot = snapshot
        self._ssh_port = ssh_port
        self._lock = threading.RLock()
        self._qemu: Qemu | None = None
        self._epoch = 0

    def start(self) -> None:
        """Bring up the hardware and switch it on.

        Raises:
            HilError: it cannot be switched on.
        """
        self.uart.start()
        self.power_on()

    def close(self) -> None:
        """Switch off for good."""
        self.power_off()
        self.uart.close()

    def power_on(self) -> None:
        """Apply power; nothing happens if it is on.

        Raises:
            HilError: QEMU does not start.
        """
        self._power_on(self._snapshot)

    def power_off(self) -> None:
        """Cut the power."""
        with self._lock:
            qemu, self._qemu = self._qemu, None
            if qemu is not None:
                qemu.close()
            self.uart.discard(Source.KERNEL)
            self.signals.power(False)
            self.signals.sync_set(False)

    def power_cycle(self) -> None:
        """Off, and on again.

        Raises:
            HilError: QEMU does not start.
        """
        with self._lock:
            self.power_off()
            self.power_on()

    def cold_boot(self, *, verbose: bool = False) -> None:
        """Off, and on again from nothing, whether or not there is a snapshot.

        Args:
            verbose: whether the kernel says everything while it boots.

        Raises:
            HilError: QEMU does not start.
        """
        with self._lock:
            self.power_off()
            self._power_on(None, replace(self._image, loglevel=VERBOSE) if verbose else None)

    def send_break(self) -> None:
        """A BREAK on the UART: the next byte within 5 s is a SysRq command.

        Raises:
            BoardError: the board has no power.
        """
        qemu = self._qemu
        if qemu is None:
            raise BoardError("virtual board: it has no power")
        qemu.send_break()

    def status(self) -> dict[str, object]:
        """Power, and how often it was switched on."""
        return {"power": "off" if self._qemu is None else "on", "epoch": self._epoch}

    def _power_on(self, snapshot: Snapshot | None, image: Image | None = None) -> None:
        with self._lock:
            if self._qemu is not None:
                return
            self._qemu = qemu = Qemu(image or self._image, self._ssh_port, snapshot=snapshot)
            self._epoch += 1
            self.signals.power(True)
            threading.Thread(target=self._attend, args=(qemu,), name="attend", daemon=True).start()

    def _attend(self, qemu: Qemu) -> None:
        """Take what the board says on its UART and its pins, until it ends."""
        said: bytes | None = b"" if qemu.boots else None
        with contextlib.suppress(OSError, ValueError):  # its ends are closed when power is cut
            while True:
                ready, _, _ = select.select([qemu.uart, qemu.pins], [], [])
                if qemu.uart in ready:
                    data = qemu.uart.recv(65536)
                    if not data:
                        break
                    self._transmit(qemu, data)
                    if said is not None and READY in (said := said[-len(READY) :] + data):
                        said = None
                        try:
                            qemu.open_ssh()
                        except BoardError as error:
                            print(error, file=sys.stderr, flush=True)
                if qemu.pins in ready:
                    level = qemu.pins.recv(4096)
                    if level:
                        self.signals.sync_set(level.endswith(b"1"))
        with self._lock:  # it has switched itself off
            if self._qemu is qemu:
                self.power_off()

    def _transmit(self, qemu: Qemu, data: bytes) -> None:
        while self.uart.backlog > BACKLOG and self._qemu is qemu:
            time.sleep(0.01)
        with self._lock:
            if self._qemu is qemu:
                self.uart.send(data, Source.KERNEL)

    def _receive(self, data: bytes) -> None:
        qemu = self._qemu
        if qemu is not None:
            with contextlib.suppress(OSError):  # gone, or its buffer is full: a UART does not wait
                qemu.uart.send(data, socket.MSG_DONTWAIT)

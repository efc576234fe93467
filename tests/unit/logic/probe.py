"""A probe as the embedded board has one: a real Unix socket with samples in real time."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_shepherd_hil.boards import LogicConfig
from pytest_shepherd_hil.logic.probe import ProbeSocket
from tests.unit.logic.uart_line import uart_line

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = LogicConfig(driver="sim", samplerate=1_000_000, channels={"D0": "uart_tx", "D1": "sync"})
LINE = uart_line(b"kernel\n", 1_000_000 / 115200)


class Probe:
    """A probe that sends ``LINE`` again and again, at ``samplerate``, until ``limit`` samples."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.limit: int | None = None
        self.block = 1000
        self.answer: dict[str, object] | bytes | None = None
        self.asked: list[dict[str, object]] = []
        self.hang_up = threading.Event()
        self.served = threading.Semaphore(0)
        self.open: list[ProbeSocket] = []
        self._done = threading.Event()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._done.is_set():
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client, suppress(OSError):
                self._talk(client)
            self.served.release()

    def _talk(self, client: socket.socket) -> None:
        asked = json.loads(client.makefile().readline())
        self.asked.append(asked)
        answer = self.answer or {"ok": True, "samplerate": asked["samplerate"], "unitsize": 1}
        client.sendall(answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n")
        sent, began = 0, time.monotonic()
        while not self._done.is_set() and not self.hang_up.is_set():
            if self.limit is not None and sent >= self.limit:
                self.hang_up.wait(0.05)
                client.sendall(b"")
                client.setblocking(False)
                try:
                    if client.recv(1) == b"":
                        return
                except BlockingIOError:
                    client.setblocking(True)
                continue
            start = sent % len(LINE)
            client.sendall((LINE[start:] + LINE * (1 + self.block // len(LINE)))[: self.block])
            sent += self.block
            ahead = sent / asked["samplerate"] - (time.monotonic() - began)
            if ahead > 0:
                self._done.wait(ahead)

    def connect(self) -> ProbeSocket:
        """Open an acquisition from it, which is in ``open`` until it is closed."""
        probe = self

        class Counted(ProbeSocket):
            def close(self) -> None:
                super().close()
                if self in probe.open:
                    probe.open.remove(self)

        acquisition = Counted(self.path, CONFIG, "sim01")
        self.open.append(acquisition)
        return acquisition

    def close(self) -> None:
        self._done.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)

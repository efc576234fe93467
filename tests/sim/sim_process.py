"""A bench for tests of the embedded board: the real process, a real serial port, a real SSH client."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from typing import TYPE_CHECKING

import fabric
import paramiko
import serial
from invoke.exceptions import CommandTimedOut

from pytest_shepherd_hil.sim.process import SimProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from invoke.runners import Result

LOGIN = r"login: "


class Console:
    """Reads the UART all the time and remembers when each byte came."""

    def __init__(self, path: str, baudrate: int = 115200) -> None:
        self.port = serial.Serial(path, baudrate, timeout=0.2, exclusive=True)
        self.data = bytearray()
        self.chunks: list[tuple[float, int]] = []
        self.lost: Exception | None = None
        self._news = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._closing:
            try:
                data = self.port.read(1)
                data += self.port.read(self.port.in_waiting) if data else b""
            except (OSError, TypeError) as error:
                with self._news:
                    self.lost = error
                    self._news.notify_all()
                return
            if data:
                with self._news:
                    self.data += data
                    self.chunks.append((time.monotonic(), len(data)))
                    self._news.notify_all()

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace").replace("\r\n", "\n")

    def wait_for(self, pattern: str, timeout_s: float = 10.0, after: int = 0) -> re.Match[str]:
        """The first match in what came in after byte ``after``."""
        found: re.Match[str] | None = None

        def search() -> bool:
            nonlocal found
            text = self.data[after:].decode("latin-1").replace("\r\n", "\n")
            found = re.search(pattern, text, re.MULTILINE)
            return found is not None

        with self._news:
            assert self._news.wait_for(search, timeout_s), f"{pattern!r} did not come; console: {self.text[-800:]}"
        assert found is not None
        return found

    def wait_for_bytes(self, count: int, timeout_s: float = 10.0) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.data) >= count, timeout_s), f"only {len(self.data)} bytes"

    def wait_lost(self, timeout_s: float = 5.0) -> Exception:
        with self._news:
            assert self._news.wait_for(lambda: self.lost is not None, timeout_s), "the port did not hang up"
        assert self.lost is not None
        return self.lost

    def quiet(self, seconds: float) -> bool:
        """Whether not a byte comes in for ``seconds``."""
        with self._news:
            before = len(self.data)
            return not self._news.wait_for(lambda: len(self.data) > before, seconds)

    def send(self, data: bytes) -> None:
        self.port.write(data)

    @property
    def mark(self) -> int:
        return len(self.data)

    def close(self) -> None:
        self._closing = True
        self._thread.join(5)
        with contextlib.suppress(OSError):
            self.port.close()


class Bench:
    """A board with its console open and an SSH client."""

    def __init__(self, sim: SimProcess, baudrate: int) -> None:
        self.sim = sim
        self.control = sim.control
        self.console = Console(sim.uart, baudrate)
        self._clients: list[fabric.Connection] = []
        self._shell: fabric.Connection | None = None

    def connect(self, key: str | None = None, user: str | None = None, timeout_s: float = 5.0) -> fabric.Connection:
        """A new SSH client that trusts only the board's own key; not connected yet."""
        ssh = self.sim.ssh
        client = fabric.Connection(
            ssh.host,
            user=user or ssh.user,
            port=ssh.port,
            connect_timeout=int(timeout_s),
            connect_kwargs={
                "key_filename": key or ssh.key,
                "allow_agent": False,
                "look_for_keys": False,
                "banner_timeout": timeout_s,
                "auth_timeout": timeout_s,
            },
        )
        client.client.load_host_keys(ssh.known_hosts)
        client.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        self._clients.append(client)
        return client

    def run(self, command: str, timeout_s: float = 10.0) -> Result:
        """Run a command on the board."""
        if self._shell is None:
            self._shell = self.connect()
        result: Result = self._shell.run(command, hide=True, warn=True, timeout=timeout_s, in_stream=False)
        return result

    def never_ends(self, command: str, within_s: float) -> bool:
        """Whether a command has not ended in that time."""
        try:
            # -1: no exit status. fabric says so, too, where its timer has not quite ended when it looks
            return bool(self.run(command, timeout_s=within_s).exited == -1)
        except CommandTimedOut:
            return True

    def hang_up(self) -> None:
        """Forget the SSH client."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def wait_booted(self, after: int = 0) -> None:
        self.console.wait_for(LOGIN, after=after)

    def close(self) -> None:
        for client in self._clients:
            with contextlib.suppress(Exception):
                client.close()
        self.console.close()


@contextlib.contextmanager
def bench(
    fault: str = "none", fault_after: int | None = None, baudrate: int = 115200, *, booted: bool = True
) -> Iterator[Bench]:
    """A fresh board."""
    with SimProcess.start(fault, fault_after, baudrate) as sim:
        it = Bench(sim, baudrate)
        try:
            if booted:
                it.wait_booted()
            yield it
        finally:
            it.close()

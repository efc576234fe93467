"""Benches for the tests of ``shepherd-hil doctor`` and ``console``: real processes and sockets, broken on purpose."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import select
import shlex
import socket
import subprocess
import sys
import termios
import threading
import tty
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import paramiko

from pytest_shepherd_hil import cli
from pytest_shepherd_hil.sim.sshd import SshServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pytest

    from pytest_shepherd_hil.sim.life import Life
    from pytest_shepherd_hil.sim.sshd import Run
    from pytest_shepherd_hil.sim.streams import Process
    from pytest_shepherd_hil.sim.terminal import Terminal

WAIT_S = 15.0
"""Longer than anything here takes; only a failing test waits so long."""
COMMAND = [sys.executable, "-m", "pytest_shepherd_hil.cli"]


@dataclass
class Diagnosis:
    """What the doctor said."""

    status: int
    findings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def mark(self, check: str) -> str:
        return str(self.findings[check]["mark"])

    def text(self, check: str) -> str:
        return f"{self.findings[check]['says']} -> {self.findings[check]['advice']}"

    def marks(self, mark: str) -> set[str]:
        return {name for name, finding in self.findings.items() if finding["mark"] == mark}


def diagnose(capsys: pytest.CaptureFixture[str], boards: Path, *options: str, board: str = "bench") -> Diagnosis:
    """Run the doctor on one board of a ``boards.toml``."""
    status = cli.main(["doctor", board, "--boards", str(boards), "--format", "json", *options])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["board"] for line in lines} == {board}
    return Diagnosis(status, {line["check"]: line for line in lines})


@contextlib.contextmanager
def holding(boards: Path, board: str, *, log: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a board's lock, and writes a console log where one is given."""
    code = (
        "import sys; from pathlib import Path; from pytest_shepherd_hil.boards import load_boards; "
        "from pytest_shepherd_hil.lock import BoardLock; "
        "path = Path(sys.argv[3]) if len(sys.argv) > 3 else None; "
        "lock = BoardLock(load_boards(Path(sys.argv[1])).board(sys.argv[2]), console_log=path); lock.acquire(); "
        "log = path.open('ab', buffering=0) if path else None; print('held', flush=True)\n"
        "for line in sys.stdin.buffer: log.write(line); print('written', flush=True)\n"
    )
    arguments = [str(boards), board, *([str(log)] if log is not None else [])]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


class Cable:
    """A serial cable to a UART that works at one baud rate only; at any other one gets garbage out of it."""

    def __init__(self, uart: str, baudrate: int) -> None:
        self._right = getattr(termios, f"B{baudrate}")
        self._far = os.open(uart, os.O_RDWR | os.O_NOCTTY)
        self._near, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._stop_r, self._stop_w = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        noise = random.Random(1)
        while True:
            ready, _, _ = select.select([self._far, self._near, self._stop_r], [], [])
            if self._stop_r in ready:
                return
            right = termios.tcgetattr(self._near)[5] == self._right
            for source, sink in ((self._far, self._near), (self._near, self._far)):
                if source in ready:
                    data = os.read(source, 4096)
                    os.write(sink, data if right else bytes(noise.randrange(0x80, 0x100) for _ in data))

    def close(self) -> None:
        os.write(self._stop_w, b"x")
        self._thread.join(WAIT_S)
        for end in (self._far, self._near, self._slave, self._stop_r, self._stop_w):
            os.close(end)


class ScriptedBoard:
    """A real SSH server whose commands say what a test wants; whatever it does not know is not found.

    Args:
        folder: gets its keys.
        answers: to each command line: exit status, stdout, stderr; that of ``sudo`` is its answer to everything.
        user: who may log in.
    """

    def __init__(self, folder: Path, answers: Mapping[str, tuple[int, str, str]], user: str = "debian") -> None:
        self._answers = {"uname -n -r": (0, "beagle 5.10.168\n", ""), **answers}
        host_key, client_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
        self._server = SshServer(host_key, client_key, user, cast("Run", self._run))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.user = user
        self.port: int = self._listener.getsockname()[1]
        self.key = folder / "scripted-key"
        client_key.write_private_key_file(str(self.key))
        self.known_hosts = folder / "scripted-hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {host_key.get_name()} {host_key.get_base64()}\n")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self._server.serve(cast("Life", None), end)

    def _run(self, _life: Life, process: Process, command: str | None, _terminal: Terminal | None) -> int:
        line = command or ""
        if line.startswith("sudo "):
            line = "sudo" if "sudo" in self._answers else shlex.split(line)[-1]
        status, out, err = self._answers.get(line, (127, "", f"sh: 1: {line.split()[0]}: not found\n"))
        process.out(out)
        process.err(err)
        return status

    def toml(self, **keys: object) -> str:
        table = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "key": str(self.key),
            "known_hosts": str(self.known_hosts),
            "connect_timeout_s": 3,
            "sudo": True,
            **keys,
        }
        return (
            "[boards.bench.ssh]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in table.items()) + "\n"
        )

    def close(self) -> None:
        self._listener.close()


class Terminal80:
    """A command on a terminal of its own, as a person has it."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**environment, "TERM": "xterm", **(env or {})},
            start_new_session=True,
        )
        self.text = ""

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def wait_for(self, wanted: str, after: int = 0) -> None:
        """Read until the screen has got ``wanted``."""
        while wanted not in self.text[after:]:
            assert select.select([self.master], [], [], WAIT_S)[0], f"{wanted!r} did not come: {self.text!r}"
            self.text += os.read(self.master, 65536).decode("utf-8", "replace").replace("\r\n", "\n")

    def end(self) -> int:
        """Its exit status, with everything that it still had to say."""
        status = self.process.wait(WAIT_S)
        while select.select([self.master], [], [], 0)[0]:
            self.text += os.read(self.master, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

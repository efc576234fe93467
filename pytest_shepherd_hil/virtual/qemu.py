"""One QEMU process: a board from power-on to power-off."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardError, HostError
from pytest_shepherd_hil.virtual.monitor import Monitor

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MACHINE", "READY", "VERBOSE", "Image", "Memory", "Qemu", "Snapshot", "executable"]

QEMU = "qemu-system-arm"
MEMORY = "256M"
READY = b"hil: board is ready"
"""What the board says on its console once it has booted and takes SSH connections."""
COMMAND_LINE = (
    "console=ttyAMA0 cma=16M panic=5 sysrq_always_enabled=1 "
    "cryptomgr.notests initcall_blacklist=crypto_kdf108_init ipv6.disable=1"  # what only takes time, some 2 s of it
)
QUIET, VERBOSE = 4, 8
"""Console loglevels: as with ``quiet``, and everything."""
MACHINE = (
    *("-machine", "virt,memory-backend=ram"),
    *("-cpu", "cortex-a15"),
    *("-smp", "2"),
    *("-m", MEMORY),
    *("-device", "virtio-net-device,netdev=net"),
    *("-nodefaults", "-no-user-config"),
    *("-display", "none"),
)
"""What the machine is made of; a snapshot of one fits no other."""
_SKIP_SHARED = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}
_RESUME_S = 20.0
_END_S = 5.0

# Whoever forks QEMU must live as long as this process: the parent-death signal follows the thread.
_forker = ThreadPoolExecutor(1, "forks QEMU")


@dataclass(frozen=True, slots=True)
class Image:
    """What a board boots: kernel and initramfs, as files, and how much the kernel says while it boots."""

    kernel: Path
    initramfs: Path
    loglevel: int = QUIET

    @property
    def command_line(self) -> str:
        return f"{COMMAND_LINE} loglevel={self.loglevel}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A booted board at rest, in a folder of two files: its memory as it was, and the state of all else."""

    folder: Path

    @property
    def memory(self) -> Path:
        """As large as the board's memory, but sparse."""
        return self.folder / "memory"

    @property
    def state(self) -> Path:
        """A QEMU migration stream without the memory."""
        return self.folder / "state"


@dataclass(frozen=True, slots=True)
class Memory:
    """Where the board's memory is: a file, or nowhere in particular.

    Attributes:
        file: backs the memory.
        keep: whether what the board writes goes into the file; else each board has its own copy-on-write view of it.
    """

    file: Path | None = None
    keep: bool = False

    @property
    def backend(self) -> str:
        if self.file is None:
            return f"memory-backend-ram,id=ram,size={MEMORY}"
        path = str(self.file).replace(",", ",,")
        return f"memory-backend-file,id=ram,size={MEMORY},mem-path={path},share={'on' if self.keep else 'off'}"


class Qemu:
    """A board that has power.

    Args:
        image: what it boots.
        ssh_port: port on the loopback that leads to the board's port 22.
        snapshot: where it goes on from; boots from scratch where None.
        memory: for a board without a snapshot.

    Attributes:
        boots: whether it boots from scratch, and will say so when it is :data:`READY`.
        uart: the board's UART; what it sends must be read at once, or the board stands still. Ends with the board.
        pins: what the board's semihosting channel says: ``1`` and ``0``, the level of its sync line.
        monitor: QMP.

    Raises:
        HostError: QEMU does not start; the message has what it said.
        BoardError: it started, and does not take the snapshot.
    """

    def __init__(
        self,
        image: Image,
        ssh_port: int,
        *,
        snapshot: Snapshot | None = None,
        memory: Memory | None = None,
    ) -> None:
        memory = memory or Memory(snapshot.memory if snapshot else None)
        self._ssh_port = ssh_port
        self.boots = snapshot is None
        with contextlib.ExitStack() as ours:
            with contextlib.ExitStack() as theirs:  # closed once it has them: then an end of it is an end for us
                command, ends = self._start(image, snapshot, memory, ours, theirs)
            try:
                self.monitor = Monitor(ends["monitor"])
                if snapshot is not None:
                    self._resume(f"fd:{self._state}")
                    self.open_ssh()
            except BoardError as error:
                hint = f"\n  To have its snapshot made anew: rm -r '{snapshot.folder}'" if snapshot is not None else ""
                raise HostError(f"QEMU did not start ({' '.join(command)}): {error}{self._said()}{hint}") from error
            self.uart, self.pins = ends["uart"], ends["pins"]
            self._parts = ours.pop_all()

    def _start(
        self,
        image: Image,
        snapshot: Snapshot | None,
        memory: Memory,
        ours: contextlib.ExitStack,
        theirs: contextlib.ExitStack,
    ) -> tuple[list[str], dict[str, socket.socket]]:
        """Start the process; returns its command and our ends of its channels, which ``ours`` closes."""
        fds: dict[str, int] = {}
        ends: dict[str, socket.socket] = {}
        for name in ("uart", "pins", "monitor"):
            near, far = socket.socketpair()
            ends[name] = ours.enter_context(near)
            fds[name] = theirs.enter_context(far).fileno()
        command = [
            *("setpriv", "--pdeathsig", "KILL", executable()),
            *MACHINE,
            *("-object", memory.backend),
            *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", image.command_line),
            *("-chardev", f"socket,id=uart,fd={fds['uart']}", "-serial", "chardev:uart"),
            *("-chardev", f"socket,id=pins,fd={fds['pins']}"),
            # To gdb, which is not there: only characters get out. "native" would let the board run our commands.
            *("-semihosting-config", "enable=on,target=gdb,chardev=pins"),
            *("-chardev", f"socket,id=monitor,fd={fds['monitor']}", "-mon", "chardev=monitor,mode=control"),
            *("-netdev", "user,id=net,restrict=on"),
        ]
        passed = list(fds.values())
        if snapshot is not None:
            self._state = os.open(snapshot.state, os.O_RDONLY)
            theirs.callback(os.close, self._state)
            passed.append(self._state)
            command += ["-incoming", "defer"]
        self._errors = ours.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 -- closed with ours
        self._process = _forker.submit(_fork, command, passed, self._errors.fileno()).result()
        ours.callback(self._end)
        return command, ends

    def open_ssh(self) -> None:
        """Let connections to the SSH port reach the board. One that boots could not take them yet, and QEMU would
        keep them waiting for seconds; it refuses them until then. Done already for a board that has a snapshot.

        Raises:
            BoardError: somebody else listens on that port.
        """
        rule = f"hostfwd_add net tcp:127.0.0.1:{self._ssh_port}-:22"
        answer = self.monitor.execute("human-monitor-command", {"command-line": rule})
        if answer:
            raise BoardError(f"virtual board: {rule}: {str(answer).strip()}")

    def save(self, snapshot: Snapshot) -> None:
        """Stop the board for good and write all but its memory, which must be ``snapshot``'s, to a file.

        Raises:
            BoardError: it did not work.
        """
        self.monitor.execute("stop")
        self.monitor.execute("migrate-set-capabilities", dict(_SKIP_SHARED))
        self.monitor.execute("migrate", {"uri": f"exec:cat > '{_quoted(snapshot.state)}'"})
        self._until("query-migrate", "completed", failed="failed")

    def send_break(self) -> None:
        """A BREAK on the UART.

        Raises:
            BoardError: it did not work.
        """
        self.monitor.execute("chardev-send-break", {"id": "uart"})

    @property
    def lives(self) -> bool:
        """Whether the process runs: a board that switches itself off ends it."""
        return self._process.poll() is None

    def close(self) -> None:
        """Cut the power, at once. Closing twice is fine."""
        self._parts.close()

    def _resume(self, uri: str) -> None:
        self.monitor.execute("migrate-set-capabilities", dict(_SKIP_SHARED))
        self.monitor.execute("migrate-incoming", {"uri": uri})
        self._until("query-status", "paused", failed="internal-error")
        self.monitor.execute("cont")

    def _until(self, query: str, status: str, *, failed: str) -> None:
        deadline = time.monotonic() + _RESUME_S
        while True:
            answer = self.monitor.execute(query)
            now = answer.get("status") if isinstance(answer, dict) else None
            if now == status:
                return
            if now == failed or time.monotonic() > deadline:
                raise BoardError(f"virtual board: snapshot: {query} says {answer}, not {status!r}{self._said()}")
            time.sleep(0.002)

    def _said(self) -> str:
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").strip()
        return f"\nit said:\n{said}" if said else ""

    def _end(self) -> None:
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        if hasattr(self, "monitor"):
            self.monitor.close()


def executable() -> str:
    """QEMU's path.

    Raises:
        HostError: it is not installed.
    """
    path = shutil.which(QEMU)
    if path is None:
        raise HostError(f"there is no {QEMU} on this host: sudo apt-get install {QEMU}")
    return path


def _fork(command: list[str], passed: list[int], errors: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, pass_fds=passed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
    )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "'\\''")

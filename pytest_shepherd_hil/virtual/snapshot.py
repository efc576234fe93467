"""A booted board at rest, made once per build, from which each power-on goes on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pytest_shepherd_hil.errors import BoardError, HostError
from pytest_shepherd_hil.text import printable
from pytest_shepherd_hil.virtual.port import free_port
from pytest_shepherd_hil.virtual.qemu import MACHINE, READY, Memory, Qemu, Snapshot, executable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_shepherd_hil.virtual.qemu import Image

__all__ = ["snapshot_of"]

BOOT_S = 120.0
LOCK_S = 900.0
NEEDED = 300 << 20
"""Bytes of a snapshot: the board's memory, at most, and what else there is."""


def snapshot_of(image: Image, folder: Path, say: Callable[[str], None]) -> Snapshot:
    """The snapshot of a board that has booted ``image``; made, which takes some 15 s, where there is none yet.

    Args:
        image: what the board boots.
        folder: where snapshots of this image are kept.
        say: shows a line of progress to the user.

    Raises:
        HostError: QEMU is missing or does not start.
        BoardError: the board did not boot.
    """
    binary = Path(executable()).stat()
    fits = hashlib.sha256(repr((MACHINE, image.command_line, binary.st_size, binary.st_mtime_ns)).encode()).hexdigest()[
        :12
    ]
    snapshot = Snapshot(folder / f"snapshot-{fits}")
    if snapshot.folder.is_dir():
        return snapshot
    with _locked(folder, say):
        if snapshot.folder.is_dir():
            return snapshot
        free = shutil.disk_usage(folder).free
        if free < NEEDED:
            raise HostError(
                f"virtual board: its snapshot needs {NEEDED >> 20} MiB in {folder}, which has {free >> 20} MiB left"
            )
        for leftover in folder.glob("snapshot-*.new*"):  # of one who was killed: we hold the lock
            shutil.rmtree(leftover, ignore_errors=True)
        say("virtual board: booting it once for a snapshot, from which every power-on goes on (some 15 s)")
        fresh = Path(tempfile.mkdtemp(prefix=f"{snapshot.folder.name}.new", dir=folder))
        try:
            _take(image, Snapshot(fresh))
            for file in fresh.iterdir():
                _to_disk(file)
            fresh.rename(snapshot.folder)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return snapshot


@contextlib.contextmanager
def _locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    lock = FileLock(folder / "snapshot.lock")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say("virtual board: another process takes its snapshot: waiting for it")
            lock.acquire(timeout=LOCK_S)
    except Timeout:
        raise HostError(
            f"virtual board: another process has held {folder / 'snapshot.lock'} for {LOCK_S / 60:.0f} minutes: "
            f"`fuser {folder / 'snapshot.lock'}` tells which"
        ) from None
    except OSError as error:
        raise HostError(
            f"virtual board: cannot keep a snapshot in {folder}: {error.strerror or error}\n"
            "  Set XDG_CACHE_HOME to a folder that can be used."
        ) from error
    try:
        yield
    except OSError as error:
        raise HostError(f"virtual board: cannot keep a snapshot in {folder}: {error.strerror or error}") from error
    finally:
        lock.release()


def _to_disk(file: Path) -> None:
    """A snapshot that a power failure of this computer has cut would be taken for a whole one."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take(image: Image, snapshot: Snapshot) -> None:
    started = time.monotonic()
    with contextlib.closing(Qemu(image, free_port(), memory=Memory(snapshot.memory, keep=True))) as board:
        _drain(board.uart.fileno(), started + BOOT_S, until=READY)
        # Linux (6.1, drivers/char/random.c) takes a new random seed when the old one is older than half the uptime.
        # Only a board that must do so first after the snapshot has another boot id each time.
        booted_s = time.monotonic() - started
        _drain(board.uart.fileno(), time.monotonic() + 1.0 + 1.2 * booted_s)
        board.save(snapshot)


def _drain(uart: int, deadline: float, until: bytes | None = None) -> None:
    """Read the UART to the deadline, or until it has said ``until``."""
    said = b""
    while (left_s := deadline - time.monotonic()) > 0:
        if not select.select([uart], [], [], left_s)[0]:
            break
        data = os.read(uart, 4096)
        if not data:
            raise BoardError(f"virtual board: it switched itself off while booting; it said:\n{_last(said)}")
        said += data
        if until is not None and until in said:
            return
    if until is not None:
        raise BoardError(f"virtual board: it did not boot within {BOOT_S:g} s; it said:\n{_last(said)}")


def _last(said: bytes) -> str:
    return "\n".join(f"  | {printable(line)}" for line in said.decode("utf-8", "replace").splitlines()[-15:])

"""One user per board: a lock that the kernel frees when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import hashlib
import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.boards import BoardConfig

__all__ = ["BoardLock", "lock_keys"]

_NOTE_BYTES = 4096


class BoardLock:
    """Held while a run uses a real board; keyed by what the board is reached through, not by its name.

    Two files that call one board by different names still exclude each other. Embedded boards are private to a run:
    their lock is always free.

    Args:
        config: the board.
        folder: where lock files lie, shared by all users of this machine.
        wait_s: how long to wait for a board that somebody else has, in seconds.
        say: shows a line of progress to the user.
        console_log: where the run writes what the board says; noted for others.
    """

    PEEK_S = 0.2
    """Who only looks whether a board is free holds its lock for a moment; that is waited for."""

    LOOK_EVERY_S = 0.01
    LOOK_SELDOM_S = 0.2

    def __init__(
        self,
        config: BoardConfig,
        folder: Path | None = None,
        *,
        wait_s: float = 0.0,
        say: Callable[[str], None] = lambda _: None,
        console_log: Path | None = None,
    ) -> None:
        self._console_log = console_log
        self._board = config.name
        self._wait_s = wait_s
        self._say = say
        self._locks: list[int] = []
        self._folder = folder or _place() / "pytest-shepherd-hil-locks"
        self._keys = lock_keys(config)

    @property
    def private(self) -> bool:
        """The board belongs to the run; there is nothing to lock."""
        return not self._keys

    def acquire(self) -> None:
        """Take the board.

        Raises:
            HostError: somebody else has it; the message says who. Or the lock folder cannot be used.
        """
        started = time.monotonic()
        try:
            for key in self._keys:
                self._take(key, started)
                self._sign(key)
        except OSError as error:
            self.release()
            raise HostError(f"board {self._board}: cannot lock it in {self._folder}: {error.strerror}") from error
        except BaseException:
            self.release()
            raise

    def _take(self, key: str, started: float) -> None:
        lock = self._open(key)
        self._locks.append(lock)
        told = False
        while not _locked(lock):
            waited_s = time.monotonic() - started
            if waited_s >= max(self._wait_s, self.PEEK_S):
                self.release()  # also what we hold of it ourselves
                raise HostError(self._refusal(waited_s))
            if not told and waited_s >= self.PEEK_S:
                told = True
                holder = self._signed(key)
                self._say(f"{self._board}: in use {holder}; waiting for it, at most {self._wait_s:g} s")
            time.sleep(self.LOOK_SELDOM_S if told else self.LOOK_EVERY_S)

    def _refusal(self, waited_s: float) -> str:
        holder = self.holder() or "by another run"
        if self._wait_s > self.PEEK_S:
            return f"board {self._board} is still in use after {waited_s:.0f} s (--hil-wait) {holder}"
        return f"board {self._board} is in use {holder}"

    def release(self) -> None:
        while self._locks:
            os.close(self._locks.pop())  # closing it frees it, as the kernel does where we die

    def holder(self) -> str | None:
        """Who holds the board, in words; None if it is free."""
        for key in self._keys:
            if not self._path(key).exists():
                continue
            try:
                lock = self._open(key)
            except OSError:
                continue
            try:
                if not _locked(lock):
                    return self._signed(key)
            finally:
                os.close(lock)
        return None

    def console_log(self) -> Path | None:
        """Where the run that holds the board writes what the board says, as it has noted; None where it has not."""
        for key in self._keys:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
                noted = Path(json.loads(_read_note(self._path(key).with_suffix(".json")))["console_log"])
                # anybody on this machine may have written the note
                if noted.name.startswith("console-") and noted.suffix == ".log" and noted.is_file():
                    return noted
        return None

    def _path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.lock"

    def _open(self, key: str) -> int:
        """The lock's file, as a descriptor.

        With ``fs.protected_regular`` nobody may open another user's file in such a folder with ``O_CREAT``, and a
        umask may keep others from writing. So who makes it opens it to all, and who finds it only reads.
        """
        try:
            self._folder.mkdir()
            self._folder.chmod(0o1777)
        except FileExistsError:
            if not self._folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        path = self._path(key)
        for _ in range(3):  # somebody may delete it in between
            try:
                return os.open(path, flags)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):
                    made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
                    os.fchmod(made, 0o666)
                    return made
            except PermissionError:  # who makes it is about to open it to all
                time.sleep(self.LOOK_EVERY_S)
        return os.open(path, flags)

    def _sign(self, key: str) -> None:
        """Say who holds it, beside the lock; a note that cannot be written costs only the name."""
        command = " ".join(sys.argv)[:300]
        note = {"pid": os.getpid(), "user": _user(), "since": time.time(), "command": command}
        if self._console_log is not None:
            note["console_log"] = str(self._console_log.absolute())
        path = self._path(key).with_suffix(".json")
        with contextlib.suppress(OSError):
            _write_note(path, json.dumps(note).encode())

    def _signed(self, key: str) -> str:
        try:
            note = json.loads(_read_note(self._path(key).with_suffix(".json")))
            since = time.strftime("%H:%M:%S", time.localtime(note["since"]))
            return printable(f"by {note['user']} (pid {note['pid']}, since {since}): {note['command']}")
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return "by another run"


def _place() -> Path:
    """A folder that is the same for everybody on this machine, whatever ``TMPDIR`` a user or a job has."""
    run_lock = Path("/run/lock")
    with contextlib.suppress(OSError):
        if run_lock.stat().st_mode & stat.S_IWOTH:
            return run_lock
    return Path("/tmp")  # noqa: S108 -- the folder is shared on purpose; its files are opened with care


def _locked(lock: int) -> bool:
    """Lock it, if nobody else has."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_note(path: Path, note: bytes) -> None:
    """Write it so that the next holder, another user perhaps, can write there, too: nobody else may delete it."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(path, flags | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        file = os.open(path, flags | os.O_TRUNC)
    try:
        with contextlib.suppress(PermissionError):  # another user's: its owner has done so
            os.fchmod(file, 0o666)
        os.write(file, note)
    finally:
        os.close(file)


def _read_note(path: Path) -> bytes:
    """What stands in a file that anybody on this machine may have put there; it is not waited for."""
    note = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(note, _NOTE_BYTES)
    finally:
        os.close(note)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's uid that no passwd file knows
        return f"uid {os.getuid()}"


def lock_keys(config: BoardConfig) -> list[str]:
    """What a board is reached through, in words; nothing for one that is private to its run."""
    if config.own is not None:
        return []
    keys = []
    port = config.console.port if config.console is not None else None
    if port is not None:
        keys.append(f"console {port if '://' in port else os.path.realpath(port)}")
    if config.ssh is not None:
        keys.append(f"ssh {config.ssh.host}:{config.ssh.port}")
    needed = config.ssh is None if config.console is None else config.console.read_only
    if config.logic is not None and needed:
        keys.append(f"logic {config.logic.driver} {config.logic.conn or ''}")
    return sorted(keys)

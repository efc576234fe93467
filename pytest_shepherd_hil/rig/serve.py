"""The life of a board's own process: until its stdin ends or it is told to."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pytest_shepherd_hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["Served", "serve"]


class Served(Protocol):
    """A board: everything that makes it, and where it is found."""

    @property
    def paths(self) -> dict[str, object]:
        """Where everything is, for :class:`~pytest_shepherd_hil.rig.process.BoardProcess`."""

    def warm_up(self) -> None:
        """Do what can wait until it is said where everything is."""

    def close(self) -> None:
        """End it."""


def serve(name: str, make: Callable[[Path], Served]) -> NoReturn:
    """Make a board, say where it is, and keep it until our parent goes.

    Args:
        name: begins the name of its folder.
        make: makes it, given a folder of its own for its sockets.
    """
    told_r, told_w = socket.socketpair()
    told_w.setblocking(False)
    signal.set_wakeup_fd(told_w.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    folder = Path(tempfile.mkdtemp(prefix=name, dir=_short_folder()))
    status = 0
    try:
        board = make(folder)
        with contextlib.suppress(OSError):
            os.write(sys.stdout.fileno(), json.dumps({**board.paths, "pid": os.getpid()}).encode() + b"\n")
        board.warm_up()
        _wait(told_r)
        board.close()
    except HilError as error:
        print(error, file=sys.stderr, flush=True)
        status = 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(status)  # threads that wait for a client must not keep a dead board alive


def _short_folder() -> str | None:
    """The folder for temporary files, unless a Unix socket's path would not fit below it."""
    return None if len(tempfile.gettempdir()) < 70 else "/tmp"  # noqa: S108 -- mkdtemp makes it private


def _wait(told: socket.socket) -> None:
    """Until a signal comes, or stdin ends."""
    while True:
        ready, _, _ = select.select([told, sys.stdin], [], [])
        if told in ready:
            return
        if not os.read(sys.stdin.fileno(), 4096):
            return

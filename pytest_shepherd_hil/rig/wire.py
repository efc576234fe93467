"""Unix sockets that carry a line of JSON each way."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["read_line", "serve_clients"]

LINE_MAX = 1 << 20


def serve_clients(path: Path, serve: Callable[[socket.socket], None], name: str) -> socket.socket:
    """Listen at ``path`` and have each client served in a thread of its own, until the returned socket is closed.

    Args:
        path: of the Unix socket, which is for this user alone.
        serve: talks to one client and closes it.
        name: of the threads.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(128)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), name=f"{name} client", daemon=True).start()

    threading.Thread(target=accept, name=name, daemon=True).start()
    return listener


def read_line(end: socket.socket, waiting: bytes) -> tuple[bytes, bytes]:
    """The next line without its newline, and what came after it; an empty line at the end.

    Raises:
        OSError: the connection failed, or the line is longer than 1 MiB.
    """
    while b"\n" not in waiting:
        data = end.recv(65536)
        if not data:
            return b"", b""
        waiting += data
        if len(waiting) > LINE_MAX:
            raise OSError("line too long")
    line, _, rest = waiting.partition(b"\n")
    return line, rest

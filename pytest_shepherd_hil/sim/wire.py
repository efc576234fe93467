"""Unix sockets that carry a line of JSON each way."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["listen_unix", "read_line"]

LINE_MAX = 1 << 20


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket at ``path``, for this user alone."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(128)
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

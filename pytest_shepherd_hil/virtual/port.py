"""A TCP port for a board."""

from __future__ import annotations

import random
import socket

from pytest_shepherd_hil.errors import HostError

__all__ = ["HOST", "free_port"]

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Below Linux's ephemeral range, so that no outgoing connection takes a board's port while it has no power."""
TRIES = 100


def free_port() -> int:
    """A port of the loopback on which nobody listens now.

    Raises:
        HostError: none was found.
    """
    for port in random.sample(PORTS, TRIES):
        with socket.socket() as end:
            try:
                end.bind((HOST, port))
            except OSError:
                continue
            return port
    raise HostError(
        f"virtual board: {TRIES} TCP ports of {HOST} between {PORTS[0]} and {PORTS[-1]} were tried; none is free"
    )

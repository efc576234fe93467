"""The cable between the host and the board's SSH server: it can be cut, and a board can go silent, refuse or reset.

A relay of one thread stands between each TCP connection and the server's own end, so that a dead board neither answers
nor hangs up. New connections get no answer at all while the listening socket's accept queue is full: the kernel then
drops their SYNs, just as if no board were there.
"""

from __future__ import annotations

import contextlib
import enum
import queue
import random
import selectors
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BoardNet", "CableMode", "Network"]

HOST = "127.0.0.1"
BUFFER = 1 << 16
CALL_TIMEOUT_S = 5.0
GARBAGE = 200


class BoardNet(enum.Enum):
    """What the board makes of the network."""

    SILENT = "silent"
    """No power, panicked or hung: nothing answers."""
    REFUSE = "refuse"
    """The kernel answers, and no SSH server listens yet."""
    UP = "up"


class CableMode(enum.Enum):
    """What is done to the network from outside."""

    OK = "ok"
    SILENT = "silent"
    REFUSE = "refuse"
    GARBAGE = "garbage"
    MUTE = "mute"


class _Connection:
    """One TCP connection and the server's end of it; touched by the relay's thread alone."""

    def __init__(self, tcp: socket.socket, inner: socket.socket | None) -> None:
        self.tcp = tcp
        self.inner = inner
        self.to_board = bytearray()
        self.to_host = bytearray()
        self.hosts_end = False
        self.boards_end = False

    def ends(self) -> tuple[socket.socket, ...]:
        return (self.tcp,) if self.inner is None else (self.tcp, self.inner)

    def drop_inner(self) -> None:
        if self.inner is not None:
            self.inner.close()
            self.inner = None

    def reset(self) -> None:
        """End it with RST."""
        self.drop_inner()
        with contextlib.suppress(OSError):
            self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.tcp.close()

    def close(self) -> None:
        """End it with FIN."""
        self.drop_inner()
        while _receive(self.tcp):  # closing with unread bytes would be a RST
            pass
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()


class Network:
    """One TCP port that always is the same, and what becomes of connections to it.

    Attributes:
        port: the port on 127.0.0.1.
    """

    def __init__(self) -> None:
        # Bound, never listening: keeps the port ours. Bound without SO_REUSEADDR, so that no other sim gets the same.
        self._holder = socket.socket()
        self._holder.bind((HOST, 0))
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.port: int = self._holder.getsockname()[1]
        self._board = BoardNet.SILENT
        self._cable = CableMode.OK
        self._serve: Callable[[socket.socket], None] | None = None
        self._listener: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._connections: set[_Connection] = set()
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = socket.socketpair()
        self._wake_w.setblocking(False)
        self._selector.register(self._wake_r, selectors.EVENT_READ, None)
        self._calls: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)

    def start(self) -> None:
        """Begin; the board is silent until told otherwise."""
        self._thread.start()
        self._call(self._settle)

    def board_silent(self) -> None:
        """The board stops answering; connections stay, without a byte."""
        self._call(self._set_board, BoardNet.SILENT, None)

    def board_gone(self) -> None:
        """As :meth:`board_silent`, and what served the connections is gone for good."""
        self._call(self._set_board, BoardNet.SILENT, None, True)

    def board_booting(self) -> None:
        """The board refuses connections, as nothing listens yet."""
        self._call(self._set_board, BoardNet.REFUSE, None, True)

    def board_up(self, serve: Callable[[socket.socket], None]) -> None:
        """The SSH server listens: ``serve`` gets its end of each new connection. Older connections are reset."""
        self._call(self._set_board, BoardNet.UP, serve, True)

    def set_cable(self, mode: CableMode) -> None:
        """Change what happens outside the board."""
        self._call(self._set_cable, mode)

    def end_all(self, *, reset: bool) -> None:
        """End all established connections, with RST or with FIN."""
        self._call(self._end_all, reset)

    def close(self) -> None:
        """Stop and close everything."""
        self._call(self._shut)

    def _call(self, work: Callable[..., None], *args: object) -> None:
        done = threading.Event()
        self._calls.put((lambda: work(*args), done))
        with contextlib.suppress(OSError):
            self._wake_w.send(b"w")
        done.wait(CALL_TIMEOUT_S)

    # Everything below runs in the relay's thread.

    def _run(self) -> None:
        while not self._closed:
            for key, events in self._selector.select():
                if key.fileobj is self._wake_r:
                    self._wake_r.recv(4096)
                elif isinstance(key.data, _Connection):
                    if key.data in self._connections:
                        self._move(key.data, key.fileobj, events)
                elif self._listener is not None and key.fileobj is self._listener:
                    self._accept(self._listener)
            while not self._calls.empty():
                work, done = self._calls.get()
                work()
                done.set()

    def _set_board(self, board: BoardNet, serve: Callable[[socket.socket], None] | None, orphan: bool = False) -> None:
        was_up = self._board is BoardNet.UP and not self._silent
        self._board, self._serve = board, serve
        for connection in list(self._connections):
            if was_up and connection.inner is not None:  # what the board has said already is on the wire
                connection.to_host += _receive(connection.inner) or b""
                _flush(connection.tcp, connection.to_host)
            if board is BoardNet.UP:
                self._forget(connection)
                connection.reset()
            elif orphan:
                self._unwatch(connection)
                connection.drop_inner()
        self._settle()

    def _set_cable(self, mode: CableMode) -> None:
        self._cable = mode
        self._settle()

    def _end_all(self, reset: bool) -> None:
        for connection in list(self._connections):
            self._forget(connection)
            if reset:
                connection.reset()
            else:
                with contextlib.suppress(OSError):
                    connection.tcp.send(connection.to_host)
                connection.close()

    def _shut(self) -> None:
        self._closed = True
        self._close_listener()
        self._end_all(True)
        self._holder.close()

    @property
    def _silent(self) -> bool:
        return self._board is BoardNet.SILENT or self._cable is CableMode.SILENT

    def _settle(self) -> None:
        """Bring the listener and the relays in line with what board and cable are now."""
        if self._silent:
            self._block_listener()
        elif self._board is BoardNet.REFUSE or self._cable is CableMode.REFUSE:
            self._close_listener()
        else:
            self._open_listener()
        for connection in list(self._connections):
            self._watch(connection)

    def _open_listener(self) -> None:
        if self._listener is not None and not self._fillers:
            return
        self._close_listener()  # also resets what waits in its queue: nobody is there any more to serve it
        self._listener = self._new_listener(64)
        self._selector.register(self._listener, selectors.EVENT_READ, None)

    def _block_listener(self) -> None:
        if self._fillers:
            return
        if self._listener is None:
            self._listener = self._new_listener(0)
        else:
            self._selector.unregister(self._listener)
            self._listener.listen(0)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((HOST, self.port))
            self._fillers.append(filler)

    def _close_listener(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()

    def _new_listener(self, backlog: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self.port))
        listener.listen(backlog)
        listener.setblocking(False)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        try:
            tcp, _ = listener.accept()
        except OSError:
            return
        tcp.setblocking(False)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(tcp, None)
        self._connections.add(connection)
        if self._cable is CableMode.GARBAGE:
            with contextlib.suppress(OSError):
                tcp.send(random.Random(GARBAGE).randbytes(GARBAGE))  # noqa: S311 -- noise, not a secret
        elif self._cable is CableMode.OK and self._serve is not None:
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            connection.inner = ours
            self._serve(theirs)
        self._watch(connection)

    def _watch(self, connection: _Connection) -> None:
        if self._silent or (self._board is not BoardNet.UP):
            self._unwatch(connection)
            return
        inner_full = connection.inner is not None and len(connection.to_board) >= BUFFER
        wants = {
            connection.tcp: (not connection.hosts_end and not inner_full, bool(connection.to_host)),
        }
        if connection.inner is not None:
            room = len(connection.to_host) < BUFFER
            wants[connection.inner] = (not connection.boards_end and room, bool(connection.to_board))
        for end, (reads, writes) in wants.items():
            events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)
            known = end in self._selector.get_map()
            if known and not events:
                self._selector.unregister(end)
            elif known:
                self._selector.modify(end, events, connection)
            elif events:
                self._selector.register(end, events, connection)

    def _unwatch(self, connection: _Connection) -> None:
        for end in connection.ends():
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)

    def _forget(self, connection: _Connection) -> None:
        self._unwatch(connection)
        self._connections.discard(connection)

    def _move(self, connection: _Connection, end: object, events: int) -> None:
        if end is connection.tcp:
            if events & selectors.EVENT_READ:
                data = _receive(connection.tcp)
                with contextlib.suppress(OSError):  # or a peer with Nagle's algorithm waits 40 ms for our ACK
                    connection.tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                connection.hosts_end = data == b""
                if connection.inner is not None:  # otherwise nobody is there to read it
                    connection.to_board += data or b""
        elif events & selectors.EVENT_READ and connection.inner is not None:
            data = _receive(connection.inner)
            connection.boards_end = data == b""
            connection.to_host += data or b""
        if connection.inner is not None and not _flush(connection.inner, connection.to_board):
            connection.boards_end = True
        if not _flush(connection.tcp, connection.to_host):
            connection.hosts_end = True
            connection.to_host.clear()
        if connection.hosts_end or (connection.boards_end and not connection.to_host):
            self._forget(connection)
            connection.close()
        else:
            self._watch(connection)


def _receive(end: socket.socket) -> bytes | None:
    """What is there; empty at its end, None when there is nothing yet."""
    try:
        return end.recv(BUFFER)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _flush(end: socket.socket, waiting: bytearray) -> bool:
    """Send what it takes; False when it is broken."""
    if waiting:
        try:
            del waiting[: end.send(waiting)]
        except BlockingIOError:
            pass
        except OSError:
            waiting.clear()
            return False
    return True

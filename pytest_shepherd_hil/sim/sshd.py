"""The board's SSH server: paramiko's server side, one key, the board's own interpreter behind it."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Protocol

import paramiko
from paramiko import common

from pytest_shepherd_hil.sim.life import PowerLost
from pytest_shepherd_hil.sim.streams import Input, Process
from pytest_shepherd_hil.sim.terminal import Terminal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pytest_shepherd_hil.sim.life import Life

__all__ = ["SshServer"]

logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # a client that hangs up is no news
BANNER = "SSH-2.0-OpenSSH_7.9p1 Debian-10+deb10u2"


class Run(Protocol):
    """Runs a command line, or an interactive shell, for a logged-in user."""

    def __call__(self, life: Life, process: Process, command: str | None, terminal: Terminal | None) -> int: ...


class _Transport(paramiko.Transport):
    """Starts what a request asked for only once the request has been answered; clients rely on that order."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.starting: list[Callable[[], None]] = []

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]
        if threading.current_thread() is self:
            starting, self.starting = self.starting, []
            for start in starting:
                start()


class _ChannelInput(Input):
    def __init__(self, channel: paramiko.Channel) -> None:
        super().__init__()
        self._channel = channel

    def fill(self) -> bytes:
        try:
            return self._channel.recv(32768)
        except OSError:
            return b""


class _Session(paramiko.ServerInterface):
    """What one connection may do."""

    def __init__(self, transport: _Transport, life: Life, client_key: paramiko.PKey, user: str, run: Run) -> None:
        self._transport = transport
        self._life = life
        self._client_key = client_key
        self._user = user
        self._run = run
        self._terminals: dict[int, bool] = {}
        self._env: dict[int, dict[str, str]] = {}

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = username in (self._user, "root") and key == self._client_key
        return common.AUTH_SUCCESSFUL if known else common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002
        return common.OPEN_SUCCEEDED if kind == "session" else common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_pty_request(self, channel: paramiko.Channel, *_: object) -> bool:
        self._terminals[channel.get_id()] = True
        return True

    def check_channel_window_change_request(self, *_: object) -> bool:
        return True

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        env = self._env.setdefault(channel.get_id(), {})
        if len(env) < 100:
            env[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self._start(channel, command.decode("utf-8", "surrogateescape"))

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return self._start(channel, None)

    def _start(self, channel: paramiko.Channel, command: str | None) -> bool:
        thread = threading.Thread(target=self._work, args=(channel, command), name="ssh command", daemon=True)
        self._transport.starting.append(thread.start)
        return True

    def _work(self, channel: paramiko.Channel, command: str | None) -> None:
        terminal: Terminal | None = None
        stdin: Input = _ChannelInput(channel)
        out: Callable[[bytes], None] = channel.sendall
        err: Callable[[bytes], None] = channel.sendall_stderr
        if self._terminals.get(channel.get_id()):
            terminal = Terminal(channel.sendall)
            threading.Thread(target=_type, args=(channel, terminal), name="ssh terminal", daemon=True).start()
            stdin, out, err = terminal, terminal.print, terminal.print
        user = self._transport.get_username() or self._user
        process = Process(
            stdin=stdin,
            stdout=out,
            stderr=err,
            user=user,
            env=self._env.get(channel.get_id(), {}),
            gone=lambda: channel.closed or not self._transport.is_active(),
        )
        try:
            with contextlib.suppress(PowerLost, OSError, EOFError):
                status = self._run(self._life, process, command, terminal)
                channel.send_exit_status(status)
                channel.shutdown_write()
        finally:
            with contextlib.suppress(OSError, EOFError):
                channel.close()


def _type(channel: paramiko.Channel, terminal: Terminal) -> None:
    with contextlib.suppress(OSError):
        while data := channel.recv(4096):
            terminal.feed(data)
    terminal.hang_up()


class SshServer:
    """Serves connections that the network hands over.

    Args:
        host_key: the board's key.
        client_key: the only key that may log in.
        user: who it belongs to; ``root`` may use it too.
        run: the board's interpreter.
    """

    def __init__(self, host_key: paramiko.PKey, client_key: paramiko.PKey, user: str, run: Run) -> None:
        self._host_key = host_key
        self._client_key = client_key
        self._user = user
        self._run = run

    def serve(self, life: Life, end: socket.socket) -> None:
        """Serve one connection, in threads of its own, for as long as ``life`` lasts."""
        transport = _Transport(end)
        transport.daemon = True
        transport.local_version = BANNER
        transport.add_server_key(self._host_key)
        session = _Session(transport, life, self._client_key, self._user, self._run)
        with contextlib.suppress(paramiko.SSHException, OSError):
            transport.start_server(event=threading.Event(), server=session)

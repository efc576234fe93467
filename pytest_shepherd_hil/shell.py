"""The board's shell over SSH (fabric), made so that no call can outlast its time-out or a dead board."""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import paramiko
from fabric import Config, Connection
from fabric.runners import Remote
from invoke.exceptions import ThreadException

from pytest_shepherd_hil.errors import (
    BoardDeadError,
    CommandCutError,
    CommandFailedError,
    CommandTimeoutError,
    HilError,
    HostError,
    ShellError,
)
from pytest_shepherd_hil.ssh_errors import explain_connect
from pytest_shepherd_hil.text import first_line, printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import SshConfig

__all__ = ["Shell", "ShellCall", "ShellResult"]

_SSH_LOG = "pytest_shepherd_hil.ssh"
logging.getLogger(_SSH_LOG).setLevel(logging.CRITICAL + 1)


@dataclass(slots=True, frozen=True)
class ShellResult:
    """What became of one command."""

    command: str
    stdout: str
    stderr: str
    exit_status: int
    duration_s: float

    @property
    def ok(self) -> bool:
        return self.exit_status == 0


@dataclass(slots=True)
class ShellCall:
    """One entry of the transcript; ``result`` and ``error`` are both None while the command runs."""

    command: str
    started_ns: int
    result: ShellResult | None = None
    error: str | None = None
    so_far: list[str] = field(default_factory=list)
    """The last that it had printed when it was cut off."""


class _Runner(Remote):  # type: ignore[misc]  # fabric has no types
    """Fabric's own runner, with a time limit on opening the channel and a way to cut it off from another thread."""

    channel: paramiko.Channel
    cut_for: str | None = None
    deadline = 0.0
    """When the command must have ended (``time.monotonic()``)."""

    def start(self, command: str, shell: str, env: dict[str, str], timeout: float | None = None) -> None:
        del shell, env, timeout
        transport = self.context.transport
        if transport is None or not transport.is_active():
            raise EOFError("the connection is closed")
        self.channel = transport.open_session(timeout=max(self.deadline - time.monotonic(), 0.01))
        self.send_start_message(command)

    def wait(self) -> None:
        """As fabric's. But what a signal raises leaves it for good: else fabric waits for the command's end."""
        try:
            super().wait()
        except BaseException:
            self.cut()
            raise

    def cut(self, reason: str | None = None) -> None:
        self.cut_for = self.cut_for or reason
        if hasattr(self, "channel"):  # fabric's own way to see whether it was opened
            self.channel.close()


class Shell:
    """Runs commands on the board. Several threads may do so at once.

    The connection is made at the first command and made again after it broke.

    Args:
        config: where and as whom to log in.
        board: name of the board, for error messages.
    """

    KEEP_CALLS = 1000

    def __init__(self, config: SshConfig, *, board: str) -> None:
        self.config = config
        self._board = board
        self._connection: Connection | None = None
        self._connecting = threading.Lock()
        self._running: set[_Runner] = set()
        self._dead: str | None = None
        self._calls: deque[ShellCall] = deque(maxlen=self.KEEP_CALLS)
        self.call_count = 0
        """How many commands have been run or tried."""

    @property
    def target(self) -> str:
        """``user@host:port``."""
        return f"{self.config.user}@{self.config.host}:{self.config.port}"

    @property
    def calls(self) -> list[ShellCall]:
        """The newest commands, oldest first."""
        return list(self._calls)

    def run(
        self,
        command: str,
        *,
        timeout_s: float = 30.0,
        check: bool = True,
        sudo: bool | None = None,
    ) -> ShellResult:
        """Run a command line in the board's shell and wait for its end.

        Args:
            command: a line for ``/bin/sh``.
            timeout_s: how long it may take, connecting included, in seconds. It has no "for ever".
            check: raise if the exit status is not 0.
            sudo: run it as root through ``sudo -n``; as ``boards.toml`` says where not given.

        Raises:
            CommandFailedError: exit status other than 0, and ``check``.
            CommandTimeoutError: it did not end in time. The connection's other commands go on.
            ShellError: the board could not be reached, or the connection broke.
            BoardDeadError: the board is known to be dead; nothing was tried.
        """
        __tracebackhide__ = True
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be more than 0, not {timeout_s!r}")
        call = ShellCall(command, time.monotonic_ns())
        self._calls.append(call)
        self.call_count += 1
        try:
            result = self._run(call, timeout_s, self.config.sudo if sudo is None else sudo)
        except HilError as error:
            call.error = str(error)
            raise
        except BaseException as error:  # the test is being stopped, or Ctrl-C
            call.error = f"cut off: {str(error) or type(error).__name__}"
            raise
        call.result = result
        if check and not result.ok:
            raise CommandFailedError(self._failed(result))
        return result

    def _run(self, call: ShellCall, timeout_s: float, sudo: bool) -> ShellResult:
        __tracebackhide__ = True
        command = call.command
        started = time.monotonic()
        self._refuse_dead(command)
        line = _as_root(command) if sudo else command
        connection = self._connect(min(timeout_s, self.config.connect_timeout_s))
        runner = _Runner(connection)
        runner.deadline = started + timeout_s
        late = threading.Event()

        def give_up() -> None:
            late.set()
            runner.cut()

        timer = threading.Timer(max(runner.deadline - time.monotonic(), 0.001), give_up)
        timer.daemon = True
        self._running.add(runner)
        try:
            timer.start()
            done: Any = runner.run(line, hide=True, warn=True, in_stream=False, encoding="utf-8")
        except (paramiko.SSHException, EOFError, OSError, ThreadException) as error:
            self._explain_end(command, timeout_s, runner, time.monotonic() >= runner.deadline, error)
        except BaseException:
            call.so_far = _output_so_far(runner)
            raise
        finally:
            timer.cancel()
            self._running.discard(runner)
        duration_s = time.monotonic() - started
        if late.is_set() or done.exited < 0:
            self._explain_end(command, timeout_s, runner, late.is_set(), None)
        return ShellResult(command, done.stdout, done.stderr, done.exited, duration_s)

    def _explain_end(
        self, command: str, timeout_s: float, runner: _Runner, late: bool, error: BaseException | None
    ) -> NoReturn:
        """A command has ended in another way than by its exit status."""
        __tracebackhide__ = True
        if late:
            raise CommandTimeoutError(self._too_late(command, timeout_s, runner)) from None
        self._refuse_dead(command)
        if runner.cut_for is not None:
            raise CommandCutError(f"board {self._board}: {_quoted(command)} was cut off: {runner.cut_for}") from None
        raise ShellError(self._broken(command, runner, error)) from error

    def stream(self, command: str, timeout_s: float) -> paramiko.Channel:
        """Start a command that goes on, as root where the board's commands run so; its ends are the channel's.

        Args:
            command: a line for ``/bin/sh``.
            timeout_s: how long starting it may take, connecting included, in seconds.

        Raises:
            ShellError: it could not be started.
            BoardDeadError: the board is known to be dead; nothing was tried.
        """
        self._refuse_dead(command)
        deadline = time.monotonic() + timeout_s
        connection = self._connect(min(timeout_s, self.config.connect_timeout_s))
        try:
            channel: paramiko.Channel = connection.transport.open_session(
                timeout=max(deadline - time.monotonic(), 0.01)
            )
            channel.settimeout(max(deadline - time.monotonic(), 0.01))
            channel.exec_command(_as_root(command) if self.config.sudo else command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            self._refuse_dead(command)
            raise ShellError(
                f"board {self._board}: could not start {_quoted(command)} over SSH to {self.target}: "
                f"{first_line(error)}"
            ) from error
        return channel

    def interrupt(self, reason: str) -> None:
        """Cut off every command that is running now, for ``reason``; the connection stays. For any thread."""
        for runner in tuple(self._running):
            with contextlib.suppress(Exception):
                runner.cut(reason)

    def kill(self, reason: str) -> None:
        """The board is dead: cut the connection, and fail every call from now on with ``reason``. For any thread."""
        self._dead = reason
        self.drop()

    def revive(self) -> None:
        """The board may be back: calls are tried again, over a new connection."""
        self.drop()
        self._dead = None

    def close(self) -> None:
        """Close the connection for good: a later command fails."""
        self.kill("it has been closed")

    def drop(self) -> None:
        """Cut the connection without waiting for anything that is at its other end. A later command opens a new one."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        transport = connection.transport
        if transport is not None:
            # First the socket: whatever waits for the peer wakes up now. Closing politely would wait for it, too.
            with contextlib.suppress(OSError):
                transport.sock.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                transport.sock.close()
            transport.close()
        connection.close()

    def _refuse_dead(self, command: str) -> None:
        __tracebackhide__ = True
        if self._dead is not None:
            raise BoardDeadError(f"board {self._board}: did not run {_quoted(command)}: {self._dead}")

    def _connect(self, timeout_s: float) -> Connection:
        __tracebackhide__ = True
        if not self._connecting.acquire(timeout=timeout_s):
            raise ShellError(f"board {self._board}: another thread is still connecting to {self.target}")
        try:
            connection = self._connection
            if connection is not None and connection.is_connected:
                return connection
            self.drop()
            connection = self._new_connection(timeout_s)
            try:
                connection.open()
            except BaseException as error:
                connection.close()
                if not isinstance(error, Exception):
                    raise
                raise explain_connect(self.config, self._board, self.target, timeout_s, error) from error
            connection.transport.set_keepalive(15)
            self._connection = connection
        finally:
            self._connecting.release()
        if self._dead is not None:  # killed while it connected
            self.drop()
            raise BoardDeadError(f"board {self._board}: {self._dead}")
        return connection

    def _new_connection(self, timeout_s: float) -> Connection:
        config = self.config
        # Not fabric's own connect_timeout: it rounds down, and 0.9 s would become no limit at all.
        kwargs: dict[str, Any] = dict.fromkeys(("timeout", "auth_timeout", "channel_timeout"), timeout_s)
        kwargs["banner_timeout"] = 0.9 * timeout_s  # first of them, for it tells more
        if config.key is not None:
            key = Path(config.key).expanduser()
            if not key.is_file():
                raise HostError(f"board {self._board}: no key file {key}; [boards.{self._board}.ssh] names it")
            kwargs.update(key_filename=str(key), allow_agent=False, look_for_keys=False)
        if config.password is not None:
            kwargs.update(password=config.password, allow_agent=False, look_for_keys=False)
        connection = Connection(
            config.host,
            user=config.user,
            port=config.port,
            connect_kwargs=kwargs,
            # Only boards.toml decides where a run goes to: ~/.ssh/config differs between a desk and a runner.
            config=Config(overrides={"load_ssh_configs": False}, lazy=True),
        )
        connection.client.set_log_channel(_SSH_LOG)  # paramiko logs a traceback for what we say in a line
        if config.known_hosts is not None:
            known = Path(config.known_hosts).expanduser()
            try:
                connection.client.load_host_keys(str(known))
            except OSError as error:
                raise HostError(f"board {self._board}: cannot read known hosts {known}: {error.strerror}") from error
            connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        return connection

    def _failed(self, result: ShellResult) -> str:
        lines = [
            (
                f"board {self._board}: {_quoted(result.command)} ended with exit status {result.exit_status} "
                f"after {result.duration_s:.1f} s"
            ),
            *_shown("stdout", result.stdout),
            *_shown("stderr", result.stderr),
        ]
        if "password is required" in result.stderr:
            lines.append(
                f"  sudo asks for a password: allow {self.config.user} to use it without one (NOPASSWD in "
                f"/etc/sudoers.d/), or set sudo = false in [boards.{self._board}.ssh]"
            )
        return "\n".join(lines)

    def _too_late(self, command: str, timeout_s: float, runner: _Runner) -> str:
        head = f"board {self._board}: {_quoted(command)} did not end within {timeout_s:g} s (it may still run there)"
        return "\n".join([head, *_output_so_far(runner)])

    def _broken(self, command: str, runner: _Runner, error: BaseException | None) -> str:
        why = f": {error}" if error is not None and str(error) else ""
        head = f"board {self._board}: the SSH connection to {self.target} broke during {_quoted(command)}{why}"
        return "\n".join([head, *_output_so_far(runner)])


def _as_root(command: str) -> str:
    return f"sudo -n -- sh -c {shlex.quote(command)}"


def _quoted(command: str) -> str:
    return f"`{printable(command, 200)}`"


def _shown(name: str, text: str, lines: int = 10) -> list[str]:
    kept = text.splitlines()[-lines:]
    return [f"  {name}: {printable(line)}" for line in kept]


def _output_so_far(runner: _Runner) -> list[str]:
    """The last output of a command that has not ended."""
    stdout = "".join(getattr(runner, "stdout", []) or [])
    stderr = "".join(getattr(runner, "stderr", []) or [])
    return [*_shown("stdout", stdout), *_shown("stderr", stderr)] or ["  it had printed nothing"]

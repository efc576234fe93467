"""Which of the many ways of not reaching a board over SSH an exception is, and what to look at."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import paramiko

from pytest_shepherd_hil.errors import HostError, ShellError

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import SshConfig

__all__ = ["explain_connect"]


def explain_connect(
    config: SshConfig, board: str, target: str, timeout_s: float, error: Exception
) -> ShellError | HostError:
    """Say which of the many ways of not connecting this was, and what to look at."""
    if isinstance(error, (ShellError, HostError)):
        return error
    where = f"board {board}: SSH to {target}"
    text = str(error) or type(error).__name__
    causes = list(getattr(error, "errors", {}).values()) or [error]
    cause = causes[0]
    if isinstance(error, paramiko.BadHostKeyException):
        return ShellError(
            f"{where}: its host key has changed (another board at this address, or newly installed?); "
            f"if that is right: ssh-keygen -R '{config.host}'"
        )
    # "encountered ... key, expected ...": the last of the key formats that paramiko tried, after the key was refused
    if isinstance(error, paramiko.AuthenticationException) or ("encountered" in text and "expected" in text):
        what = f"key {config.key}" if config.key else "any key of the agent or in ~/.ssh"
        try_this = f"ssh-copy-id -p {config.port} {config.user}@{config.host}"
        return ShellError(f"{where}: log-in refused with {what}: {text}; try: {try_this}")
    if isinstance(error, paramiko.SSHException) and "known_hosts" in text:
        return ShellError(f"{where}: its host key is not in {config.known_hosts}: {text}")
    if isinstance(cause, socket.gaierror):
        return ShellError(f"{where}: unknown name {config.host!r} ({cause.strerror}); ~/.ssh/config is not read")
    passing = _passing(error, cause, text, timeout_s)
    if passing is not None:
        return ShellError(f"{where}: {passing}", may_pass=True)
    if isinstance(cause, OSError) and cause.strerror:
        return ShellError(f"{where}: {cause.strerror}")
    return ShellError(f"{where}: {text}")


def _passing(error: Exception, cause: Exception, text: str, timeout_s: float) -> str | None:
    """What may be over in a moment, as while a board boots; None if it is not that."""
    closed = (EOFError, ConnectionResetError, BrokenPipeError)
    if isinstance(cause, ConnectionRefusedError):
        return "refused: the host is up but nothing listens there (still booting? sshd not running? wrong port?)"
    if isinstance(cause, TimeoutError):
        return f"silent: no answer within {timeout_s:.3g} s (board off, crashed, or its cable out?)"
    if isinstance(cause, closed) or isinstance(error.__cause__, closed) or isinstance(error.__context__, closed):
        return "reset: it closed the connection before saying a word (sshd overloaded or restarting?)"
    if "Indecipherable protocol version" in text:
        return "what answers there is no SSH server (wrong port?)"
    if "banner" in text.lower() or "No existing session" in text:
        return f"silent: the connection stands, but no SSH server said a word within {timeout_s:.3g} s (board hung?)"
    return None

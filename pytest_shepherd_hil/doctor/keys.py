"""Checks of this computer's keys: the one that opens the board, and the one that the board is known by."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko

from pytest_shepherd_hil.doctor.finding import Finding, not_checked, ok, problem, warning

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import SshConfig
    from pytest_shepherd_hil.doctor.bench import Bench

__all__ = ["check_host_key", "check_key"]


def check_key(bench: Bench) -> Finding:
    """The private key is there, and only its owner may read it."""
    ssh = bench.ssh
    if ssh is None:
        return not_checked(bench.lacks("ssh"))
    if ssh.key is None:
        return _no_key(ssh)
    key = Path(ssh.key).expanduser()
    correct = f"correct key in [boards.{bench.name}.ssh], or make one: ssh-keygen -t ed25519 -f {key}"
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
        head = key.read_bytes()[:200] if key.is_file() else b""
    except FileNotFoundError:
        return problem(f"there is no {key}", correct)
    except OSError as error:
        return problem(f"cannot read {key}: {error.strerror}", f"ls -l {key}")
    if b"PRIVATE KEY" not in head:
        public = "a public key" if head.startswith((b"ssh-", b"ecdsa-", b"sk-")) else "no private key"
        return problem(f"{key} is {public}", correct)
    if mode & 0o077:
        return warning(
            f"{key} may be read by others (mode {mode:04o}); ssh itself refuses such a key", f"chmod 600 {key}"
        )
    return ok(f"{key}, mode {mode:04o}")


def _no_key(ssh: SshConfig) -> Finding:
    if ssh.password is not None:
        return ok("none: boards.toml has a password")
    kept = Path("~/.ssh").expanduser()
    files = [str(kept / name) for name in ("id_ed25519", "id_ecdsa", "id_rsa") if (kept / name).is_file()]
    if os.environ.get("SSH_AUTH_SOCK"):
        files.insert(0, "those of the agent")
    if files:
        return ok(f"boards.toml names none; {', '.join(files)}")
    return problem(
        "boards.toml names none, there is no agent, and ~/.ssh has none",
        f"ssh-keygen -t ed25519, and ssh-copy-id -p {ssh.port} {ssh.user}@{ssh.host}",
    )


def check_host_key(bench: Bench) -> Finding:
    """This host knows the board's own key, so that no other machine can pass for it."""
    ssh = bench.ssh
    if ssh is None:
        return not_checked(bench.lacks("ssh"))
    pinned = ssh.known_hosts is not None
    path = Path(ssh.known_hosts or "~/.ssh/known_hosts").expanduser()
    entry = ssh.host if ssh.port == 22 else f"[{ssh.host}]:{ssh.port}"
    add = f"ssh-keyscan -p {ssh.port} {ssh.host} >> {path}, and compare it with the board's /etc/ssh/*.pub"
    known = paramiko.HostKeys()
    try:
        known.load(str(path))
    except FileNotFoundError:
        if pinned:
            return problem(f"there is no {path}, which boards.toml names", add)
    except (OSError, ValueError) as error:
        return problem(f"cannot read {path}: {error}", f"ls -l {path}")
    if known.lookup(entry):
        return ok(f"{path} has {entry}")
    if pinned:
        return problem(f"{path} has no {entry}: every log-in is refused", add)
    return warning(f"{path} has no {entry}: whoever has that address passes for the board", add)

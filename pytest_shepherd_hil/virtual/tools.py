"""The tools of this host that make a virtual board: which, from which Debian package, and what one that fails said."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["CONTAINER", "CROSS", "attempt", "check", "quoted", "run"]

CROSS = "arm-linux-gnueabihf-"
"""What the names of the cross compiler and its binutils begin with."""
TOOLS = {
    "qemu-system-arm": "qemu-system-arm",
    f"{CROSS}gcc": "gcc-arm-linux-gnueabihf",
    f"{CROSS}readelf": "binutils-arm-linux-gnueabihf",
    f"{CROSS}strip": "binutils-arm-linux-gnueabihf",
    "make": "make",
    "depmod": "kmod",
}
"""Tool to Debian package."""
SBIN = ("/usr/sbin", "/sbin")
"""Where depmod is; on Debian only root has them on the search path."""
DEBIAN = ("apt-get", "apt-cache", "dpkg", "dpkg-deb")
"""What only Debian and its kin have."""
CONTAINER = "Use the debian:bookworm container in which .github/workflows/ci.yml runs the tests of the virtual boards."

_MISSING = "a virtual board cannot be built: this host lacks {tools}\n  sudo apt-get install {packages}"
_NO_APT = "a virtual board is built from Debian packages by apt, and this host lacks {tools}.\n  {container}"
_QUOTED_LINES = 15
_LOOK_EVERY_S = 0.2


def check() -> None:
    """See that every tool is there.

    Raises:
        HostError: at least one is not; the message names all of them and their packages.
    """
    missing = [tool for tool in DEBIAN if not _found(tool)]
    if missing:
        raise HostError(_NO_APT.format(tools=", ".join(missing), container=CONTAINER))
    missing = [tool for tool in TOOLS if not _found(tool)]
    if missing:
        packages = " ".join(dict.fromkeys(TOOLS[tool] for tool in missing))
        raise HostError(_MISSING.format(tools=", ".join(missing), packages=packages))


def run(arguments: Sequence[str], *, timeout_s: float = 120, cwd: Path | None = None) -> str:
    """What a tool prints, both streams together.

    Raises:
        HostError: it could not be started, failed, or took longer than ``timeout_s``; the message quotes it.
    """
    output, status = attempt(arguments, timeout_s=timeout_s, cwd=cwd)
    if status != 0:
        raise HostError(f"{_named(arguments)} ended with exit status {status}\n{quoted(output)}")
    return output


def attempt(
    arguments: Sequence[str],
    *,
    timeout_s: float = 120,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[str, int]:
    """What a tool prints, both streams together, and its exit status.

    Args:
        environment: variables for it besides this process's own; an empty one is taken away.
        meanwhile: called several times a second while it runs.

    Raises:
        HostError: it could not be started or took longer than ``timeout_s``.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                arguments,
                cwd=cwd,
                env=_environment(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise HostError(f"{_named(arguments)} could not be started: {error.strerror}") from error
        try:
            in_time = _ends(process, time.monotonic() + timeout_s, meanwhile)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started, too, whatever stopped us
            process.wait()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    if not in_time:
        raise HostError(f"{_named(arguments)} did not end within {timeout_s:g} s\n{quoted(text)}")
    return text, process.returncode


def quoted(output: str) -> str:
    """The last lines of what a tool printed, for an error message."""
    return "\n".join(f"  | {printable(line)}" for line in output.splitlines()[-_QUOTED_LINES:])


def _ends(process: subprocess.Popen[bytes], deadline: float, meanwhile: Callable[[], None]) -> bool:
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_EVERY_S)
            return True
        meanwhile()
    return process.poll() is not None


def _named(arguments: Sequence[str]) -> str:
    return f"`{printable(shlex.join(arguments), 200)}`"


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, in English and with what root finds on its path."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": _path(), **more}
    return {name: value for name, value in environment.items() if value}


def _found(tool: str) -> bool:
    return shutil.which(tool, path=_path()) is not None


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN])

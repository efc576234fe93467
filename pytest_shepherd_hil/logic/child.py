"""Child processes of drivers, which must not outlive us, whatever ends us."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence

__all__ = ["end", "tied"]

# Not with preexec_fn: Python code between fork and exec can hang where there are threads. 1 is PR_SET_PDEATHSIG.
_TIE = """\
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.exit(f"cannot run {sys.argv[2]}: {error.strerror}")
"""


def tied(command: Sequence[str]) -> list[str]:
    """A command line that runs ``command`` so that the kernel kills it when the thread that started it ends.

    Closing its stdin would not do: a ``sigrok-cli`` whose stdin was closed spins at 100 % of a processor for ever.
    """
    return [sys.executable, "-I", "-S", "-c", _TIE, str(os.getpid()), *command]


def end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """End a process, the leader of its session, by force where need be, and close its pipes."""
    try:
        for stop in (signal.SIGTERM, signal.SIGKILL):
            with suppress(TimeoutExpired):
                process.wait(0.2)
                break
            with suppress(ProcessLookupError):
                os.killpg(process.pid, stop)
            with suppress(TimeoutExpired):
                process.wait(patience_s)
    finally:
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

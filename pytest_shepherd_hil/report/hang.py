"""What is attached to a test that hangs: where it is on the host, and what its board shows meanwhile."""

from __future__ import annotations

import sys
import threading
import traceback
from typing import TYPE_CHECKING

from pytest_shepherd_hil.evidence.text import transcript_text
from pytest_shepherd_hil.outcome import Failed
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.shell import ShellCall

__all__ = ["hang_text", "host_stacks", "is_timeout"]

_TAIL_LINES = 20
_FRAMES = 25
_THREADS = 20
_CALLS = 3


def is_timeout(error: BaseException | None) -> bool:
    """Whether pytest-timeout has ended a test with this exception (its method ``signal``)."""
    return isinstance(error, Failed) and str(error).startswith("Timeout (>")


def host_stacks(error: BaseException) -> list[str]:
    """Where on the host the test was when ``error`` ended it, and where its other threads are now; innermost last."""
    here = threading.get_ident()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = ["the test:", *traceback.format_tb(error.__traceback__, -_FRAMES)]
    for ident, frame in sys._current_frames().items():
        if ident != here and len(found) < _THREADS * _FRAMES:
            found += [f"thread {names.get(ident, ident)}:", *traceback.format_stack(frame, _FRAMES)]
    return [line for entry in found for line in entry.splitlines()]


def hang_text(
    log: ConsoleLog, host: Sequence[str], tail: Sequence[str], calls: Sequence[ShellCall], said: Sequence[str]
) -> str:
    """The text.

    Args:
        host: what :func:`host_stacks` has found.
        log: knows the wall clock.
        tail: the console's lines before the kernel was asked.
        calls: the test's shell commands, oldest first; the last of them may have been cut off.
        said: what the kernel said when it was asked with BREAK and SysRq.
    """
    blocks = [
        ("where the test was", list(host)),
        ("the shell's last commands", transcript_text(log, calls[-_CALLS:]).splitlines()),
        ("the console's last lines", list(tail[-_TAIL_LINES:]) or ["(nothing)"]),
        ("the kernel, asked with BREAK and SysRq w, l and t", list(said) or ["(no console to ask it over)"]),
    ]
    return "\n".join(
        line for title, lines in blocks for line in (title, *(f"  {printable(line)}" for line in lines), "")
    )

"""What is attached to a test that hangs: the board's side of it. The host's stack is in pytest's own traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.evidence.text import transcript_text
from pytest_shepherd_hil.outcome import Failed
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.shell import ShellCall

__all__ = ["hang_text", "is_timeout"]

_TAIL_LINES = 20
_CALLS = 3


def is_timeout(error: BaseException | None) -> bool:
    """Whether pytest-timeout has ended a test with this exception (its method ``signal``)."""
    return isinstance(error, Failed) and str(error).startswith("Timeout (>")


def hang_text(log: ConsoleLog, tail: Sequence[str], calls: Sequence[ShellCall], said: Sequence[str]) -> str:
    """The text.

    Args:
        log: knows the wall clock.
        tail: the console's lines before the kernel was asked.
        calls: the test's shell commands, oldest first; the last of them may have been cut off.
        said: what the kernel said when it was asked with BREAK and SysRq.
    """
    blocks = [
        ("the shell's last commands", transcript_text(log, calls[-_CALLS:]).splitlines()),
        ("the console's last lines", list(tail[-_TAIL_LINES:]) or ["(nothing)"]),
        ("the kernel, asked with BREAK and SysRq w, l and t", list(said) or ["(no console to ask it over)"]),
    ]
    return "\n".join(
        line for title, lines in blocks for line in (title, *(f"  {printable(line)}" for line in lines), "")
    )

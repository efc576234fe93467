"""Where in the code a test must not be interrupted, told from the stack of the thread that runs it."""

from __future__ import annotations

import bdb
import cmd
import os
import pdb  # noqa: T100  only where its file is
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import _pytest
import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["in_debugger", "in_machinery", "in_our_own", "in_shelter"]

_PACKAGE = Path(__file__).parents[1]
_STDLIB = sysconfig.get_path("stdlib") + os.sep
_LOCKS_OF_SSH = f"{os.sep}paramiko{os.sep}"
"""Where an exception can leave a lock of the connection held for ever."""
_MACHINERY = tuple(str(Path(str(module.__file__)).parent) + os.sep for module in (_pytest, pluggy))
_DEBUGGER = frozenset(str(module.__file__) for module in (pdb, bdb, cmd))
_DEBUGGED = frozenset({"run", "runcall", "runctx", "runeval"})
"""The debugger's functions that call what is debugged: ``--trace`` has one below each test."""


def _file(module: str) -> str:
    return str(_PACKAGE.joinpath(*module.split(".")).with_suffix(".py"))


_SHELTERED = frozenset(
    _file(module) for module in ("console.log", "console.lines", "console.transcript", "guard.fence", "guard.block")
)
_OUR_OWN = frozenset(
    map(_file, ("bench", "guard.abort", "guard.places", "hooks", "judge", "session", "timers", "watched"))
)


def in_shelter(frame: FrameType | None) -> bool:
    """Whether code of ours is at work that holds a lock of the console's reader, or deals with the incident already."""
    return any(one.f_code.co_filename in _SHELTERED for one in _stack(frame))


def in_our_own(frame: FrameType | None) -> bool:
    """Whether it is between pytest and a test: an exception there would be nobody's, and leave a phase half ended."""
    return _innermost_file(frame) in _OUR_OWN


def in_machinery(frame: FrameType | None) -> bool:
    """Whether pytest or paramiko is at work, not something that it has called."""
    file = _innermost_file(frame)
    return file.startswith(_MACHINERY) or _LOCKS_OF_SSH in file


def in_debugger(frame: FrameType | None) -> bool:
    """Whether a person sits at a debugger's prompt: ``breakpoint()``, ``--trace``, ``--pdb``."""
    return any(one.f_code.co_filename in _DEBUGGER and one.f_code.co_name not in _DEBUGGED for one in _stack(frame))


def _innermost_file(frame: FrameType | None) -> str:
    """The file of the innermost function that is not the standard library's."""
    for one in _stack(frame):
        file = one.f_code.co_filename
        if not file.startswith("<") and not (file.startswith(_STDLIB) and "site-packages" not in file):
            return file
    return ""


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    """Innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back

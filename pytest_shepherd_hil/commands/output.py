"""Where the command's words go when nobody can take them."""

from __future__ import annotations

import os
import sys

__all__ = ["drop_output", "ensure_streams"]


def ensure_streams() -> None:
    """Have a stdout and a stderr, even where the caller has closed them (``>&-``): the exit status still counts."""
    if sys.stdout is None:
        sys.stdout = os.fdopen(_nowhere(), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(_nowhere(), "w", encoding="utf-8")


def drop_output() -> None:
    """Stdout cannot be written any more: send the rest nowhere, else Python complains at its end."""
    os.dup2(_nowhere(), sys.stdout.fileno())


def _nowhere() -> int:
    return os.open(os.devnull, os.O_WRONLY)

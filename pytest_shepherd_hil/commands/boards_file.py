"""The ``boards.toml`` that a command was asked to use: ``--boards FILE``, or the nearest one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.boards import find_boards_file, load_boards
from pytest_shepherd_hil.errors import ConfigError

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import BoardsFile

__all__ = ["boards_file"]


def boards_file(given: Path | None) -> BoardsFile:
    """Find and read it.

    Raises:
        ConfigError: there is none, or it is faulty.
    """
    path = given or find_boards_file(Path.cwd())
    if path is None:
        raise ConfigError(f"no boards.toml in {Path.cwd()} or above it; name it with --boards FILE")
    return load_boards(path)

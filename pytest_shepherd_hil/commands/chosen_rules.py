"""The rules and the board that a command was asked to use: ``--rules FILE``, ``--board NAME``, ``--boards FILE``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import MisuseError

if TYPE_CHECKING:
    import argparse

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.kernel.user_rules import LayeredRules

__all__ = ["chosen_board", "chosen_rules"]


def chosen_board(options: argparse.Namespace) -> BoardConfig | None:
    """The board of ``--board``; None without it.

    Raises:
        MisuseError: there is no such board, no ``boards.toml``, or it is faulty.
    """
    if options.board is None:
        if options.boards is not None:
            raise MisuseError("--boards FILE says nothing without --board NAME")
        return None
    from pytest_shepherd_hil.boards import find_boards_file, load_boards

    path = options.boards or find_boards_file(Path.cwd())
    if path is None:
        raise MisuseError(f"no boards.toml in {Path.cwd()} or above it; name it with --boards FILE")
    return load_boards(path).board(options.board)


def chosen_rules(options: argparse.Namespace, board: BoardConfig | None) -> LayeredRules:
    """The packaged rules, changed by those of ``--rules`` and then by the board's, as in a test run.

    Raises:
        MisuseError: a file of rules cannot be used.
    """
    from pytest_shepherd_hil.kernel.rules import RuleError
    from pytest_shepherd_hil.kernel.user_rules import layered, read_layer

    try:
        given = [read_layer(path) for path in options.rules]
        return layered((*given, *(board.rules if board is not None else ())))
    except RuleError as error:
        raise MisuseError(str(error)) from error

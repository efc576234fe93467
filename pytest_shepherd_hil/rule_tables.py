"""Rules of the kernel judge as they stand in ``boards.toml``: ``[rules.<id>]`` and ``[boards.NAME.rules.<id>]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.rules import RuleError
from pytest_shepherd_hil.kernel.user_rules import RuleLayer, layered
from pytest_shepherd_hil.text import printable
from pytest_shepherd_hil.toml_words import shown, toml_type

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["rule_layers"]


def rule_layers(path: Path, board: str, tables: object, general: tuple[RuleLayer, ...] = ()) -> tuple[RuleLayer, ...]:
    """The changes that a table makes to the rules, checked, after those that hold for all boards.

    Args:
        path: of the file.
        board: whose table it is; empty for the table of all boards.
        general: what holds for all boards.

    Raises:
        ValueError: a rule is wrong; names the board, the rule and, for a bad pattern, the column.
    """
    where = f"board {board}: " if board else ""
    if not isinstance(tables, dict):
        form = f"[boards.{board}.rules.<id>]" if board else "[rules.<id>]"
        raise ValueError(f"{where}'rules' must be tables {form}, not {toml_type(tables)}")
    if not tables:
        return general
    file = f"{shown(path)}: "
    layers = (*general, RuleLayer(f"{file}board {board}" if board else shown(path), tables))
    try:
        layered(layers, more_to_come=True)
    except RuleError as error:
        raise ValueError(printable(str(error).removeprefix(file))) from error
    return layers

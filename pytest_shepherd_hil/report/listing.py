"""The table of ``pytest --hil-list-boards``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.lock import BoardLock
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import BoardConfig, BoardsFile

__all__ = ["board_table"]


def board_table(boards: BoardsFile) -> str:
    """One row for each board: its name, what it has, its description, and who uses it."""
    rows = [("board", "has", "description", "in use")]
    rows += [(board.name, _has(board), printable(board.description), _use(board)) for board in boards]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        lines.append("  ".join([*cells, row[3]]).rstrip())
    return "\n".join([f"{len(boards)} boards in {boards.path}", "", *lines])


def _has(board: BoardConfig) -> str:
    parts: list[str] = [part for part in ("console", "shell", "logic", "module", "power") if part in board.has]
    if board.module is not None:
        parts[parts.index("module")] = f"module {board.module.name}"
    return ", ".join(parts)


def _use(board: BoardConfig) -> str:
    lock = BoardLock(board)
    if lock.private:
        return "no: each run has its own"
    return lock.holder() or "no"

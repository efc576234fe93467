"""Where a run's settings come from: the command line, the ini file, or the nearest ``boards.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.boards import find_boards_file, load_boards
from pytest_shepherd_hil.errors import ConfigError
from pytest_shepherd_hil.lock import lock_keys
from pytest_shepherd_hil.options import ON_INCIDENT
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_shepherd_hil.boards import BoardConfig, BoardsFile

__all__ = ["RunOptions", "boards_file", "chosen_boards", "evidence_root", "on_incident", "run_options"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user chose for a run.

    Attributes:
        evidence_root: folder that gets this run's folder.
        on_incident: ``fail``, ``abort-run`` or ``report``.
        keep_dead: leave a dead board as it died.
        wait_s: how long to wait for a board that another run uses, in seconds.
    """

    evidence_root: Path
    on_incident: str = "fail"
    keep_dead: bool = False
    wait_s: float = 0.0


def boards_file(config: pytest.Config) -> BoardsFile:
    """Find and read ``boards.toml``: the command line's, the ini file's, or the nearest above the rootdir.

    Raises:
        pytest.UsageError: there is none, or it is faulty.
    """
    path, source = _setting(config, "hil_boards")
    if path is None:
        path = find_boards_file(config.rootpath)
        if path is None:
            raise pytest.UsageError(
                f"no boards.toml in {config.rootpath} or above it; "
                "make one (see the README) or name it with --hil-boards FILE"
            )
        source = ""
    try:
        return load_boards(path)
    except ConfigError as error:
        raise pytest.UsageError(f"{error}{source}") from error


def evidence_root(config: pytest.Config) -> Path:
    """The folder that holds the runs' evidence."""
    path, _ = _setting(config, "hil_evidence")
    return path if path is not None else config.rootpath / "hil-evidence"


def run_options(config: pytest.Config) -> RunOptions:
    """What the user chose for the run.

    Raises:
        pytest.UsageError: something is no choice.
    """
    return RunOptions(
        evidence_root=evidence_root(config),
        on_incident=on_incident(config),
        keep_dead=bool(config.getoption("hil_keep_dead")),
        wait_s=float(config.getoption("hil_wait")),
    )


def on_incident(config: pytest.Config) -> str:
    """``--hil-on-incident``, or what the ini file says.

    Raises:
        pytest.UsageError: the ini file says something that is no choice.
    """
    given = config.getoption("hil_on_incident")
    if given:
        return str(given)
    named = str(config.getini("hil_on_incident")) or ON_INCIDENT[0]
    if named not in ON_INCIDENT:
        raise pytest.UsageError(
            f"hil_on_incident = {named!r} in {config.inipath}: choose one of {', '.join(ON_INCIDENT)}"
        )
    return named


def _setting(config: pytest.Config, name: str) -> tuple[Path | None, str]:
    """A path from the command line (relative to where pytest was started) or the ini file (relative to it), and a
    remark on where it comes from."""
    given = config.getoption(name)
    if given:
        return config.invocation_params.dir / given, f" (from --{name.replace('_', '-')})"
    given = config.getini(name)
    if given:
        base = config.inipath.parent if config.inipath is not None else config.rootpath
        return base / given, f" (from {name} in {config.inipath})"
    return None, ""


def chosen_boards(config: pytest.Config, names: Sequence[str]) -> list[BoardConfig]:
    """The boards of these names, with the rules of ``hil_rules`` before their own.

    Raises:
        pytest.UsageError: there is no such board, no ``boards.toml``, one of the files is faulty, or two names are one
            board.
    """
    file = boards_file(config)
    try:
        boards = [file.board(name) for name in names]
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error
    users: dict[str, str] = {}
    for board in boards:
        for key in lock_keys(board):
            other = users.setdefault(key, board.name)
            if other != board.name:
                raise pytest.UsageError(
                    f"--board {other} and --board {board.name} are one board: both are reached through {key}"
                )
    path, source = _setting(config, "hil_rules")
    return [_with_rules(board, path, source) for board in boards]


def _with_rules(board: BoardConfig, path: Path | None, source: str) -> BoardConfig:
    if path is None and not board.rules:
        return board
    from pytest_shepherd_hil.kernel.rules import RuleError
    from pytest_shepherd_hil.kernel.user_rules import layered, read_layer

    try:
        layers = (*([read_layer(path)] if path is not None else []), *board.rules)
        layered(layers)
    except RuleError as error:
        raise pytest.UsageError(f"{printable(str(error))}{source}") from error
    return board.model_copy(update={"rules": layers})

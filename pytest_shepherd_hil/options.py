"""Command-line and ini options, with their help texts. Imports nothing heavy: it is read in every pytest run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_shepherd_hil.boards import BoardsFile

__all__ = ["add_options", "boards_file", "evidence_root", "list_wanted", "wanted_board"]

BOARD_HELP = "run the tests that need a board on board NAME of boards.toml"
BOARDS_HELP = "the file that describes the boards; default: the nearest boards.toml in the rootdir or above it"
EVIDENCE_HELP = "folder for what is kept of each run and failure (default: hil-evidence in the rootdir)"
LIST_HELP = "show the boards of boards.toml, what each has and whether it is in use, and exit"


def add_options(parser: pytest.Parser) -> None:
    """Everything but the short form ``--board``, which is a plugin of its own."""
    group = parser.getgroup("hil", "hardware in the loop (pytest-shepherd-hil)")
    group.addoption("--hil-board", dest="hil_board", action="append", metavar="NAME", help=BOARD_HELP)
    group.addoption("--hil-boards", dest="hil_boards", metavar="FILE", help=BOARDS_HELP)
    group.addoption("--hil-evidence", dest="hil_evidence", metavar="DIR", help=EVIDENCE_HELP)
    group.addoption("--hil-list-boards", dest="hil_list_boards", action="store_true", help=LIST_HELP)
    parser.addini("hil_boards", BOARDS_HELP)
    parser.addini("hil_evidence", EVIDENCE_HELP)


def wanted_board(config: pytest.Config) -> str | None:
    """The board of ``--board``; None without it.

    Raises:
        pytest.UsageError: there are several.
    """
    names: list[str] = list(dict.fromkeys(config.getoption("hil_board") or []))
    if len(names) > 1:
        raise pytest.UsageError(
            f"--board was given {len(names)} times ({', '.join(names)}): one run uses one board so far; "
            "run pytest once for each board"
        )
    return names[0] if names else None


def list_wanted(config: pytest.Config) -> bool:
    return bool(config.getoption("hil_list_boards"))


def boards_file(config: pytest.Config) -> BoardsFile:
    """Find and read ``boards.toml``: the command line's, the ini file's, or the nearest above the rootdir.

    Raises:
        pytest.UsageError: there is none, or it is faulty.
    """
    from pytest_shepherd_hil.boards import find_boards_file, load_boards
    from pytest_shepherd_hil.errors import ConfigError

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

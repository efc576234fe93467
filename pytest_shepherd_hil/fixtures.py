"""The fixtures: what a test gets of its board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.options import MARKERS

if TYPE_CHECKING:
    from pytest_shepherd_hil.bench import Bench
    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
    from pytest_shepherd_hil.module import KernelModule
    from pytest_shepherd_hil.session import HilSession
    from pytest_shepherd_hil.shell import Shell

BENCH: pytest.StashKey[Bench] = pytest.StashKey()
NO_BOARD = "needs a board: run pytest with --board NAME (pytest --hil-list-boards shows which there are)"
MARKERS_FIXTURE = "_hil_markers"
SESSION_FIXTURE = "_hil_session"

__all__ = [
    "BENCH",
    "NO_BOARD",
    "board",
    "console",
    "hil_markers",
    "hil_session",
    "kernel_module",
    "logic",
    "needs_board",
    "shell",
]


def needs_board(item: pytest.Item) -> bool:
    """Whether a test has to do with a board at all."""
    return _uses_our_board(item) or any(item.get_closest_marker(name) for name in MARKERS)


def _uses_our_board(item: pytest.Item) -> bool:
    """Whether the test's ``board`` is this plugin's: other projects have fixtures of that name, too."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.get("board", ()) if info is not None else ()
    for definition in reversed(definitions):
        if definition.func.__module__ == __name__:
            return True
        if "board" not in definition.argnames:  # it does not build on the one that it overrides
            return False
    return False


@pytest.fixture(scope="session", name=SESSION_FIXTURE)
def hil_session(request: pytest.FixtureRequest) -> HilSession:
    """The session of the test's board: the only one, or, where there are several, the one that is its parameter."""
    bench = request.config.stash.get(BENCH, None)
    if bench is None:
        pytest.skip(NO_BOARD)
    return bench.session(getattr(request, "param", None))


@pytest.fixture(scope="session")
def board(_hil_session: HilSession) -> Board:
    """The board of ``--board``: open, watched, with its shell, console, analyzer, module and power.

    It is a session's fixture, so that fixtures of any scope may ask it for ``board.shell`` and the like. Where the run
    has several boards, it and what uses it is set up for each of them.
    """
    return _hil_session.board_for_fixture()


@pytest.fixture
def shell(board: Board) -> Shell:
    """The board's shell: ``shell.run("uname -r").stdout``. Every call has a time-out; any thread may call."""
    _needs(board, "shell", "ssh")
    return board.shell


@pytest.fixture
def console(board: Board, _hil_session: HilSession) -> Console:
    """The kernel's console as of this test: ``expect``, ``send``, ``send_break``, ``lines``, ``kernel_time``."""
    _needs(board, "console", "console")
    return _hil_session.console()


@pytest.fixture
def logic(board: Board) -> LogicAnalyzer:
    """The logic analyzer: ``logic.capture(seconds=1)``, ``with logic.recording() as recording:``."""
    _needs(board, "logic", "logic")
    return board.logic


@pytest.fixture
def kernel_module(board: Board) -> KernelModule:
    """The kernel module under test: ``load``, ``unload``, ``reload``, ``is_loaded``, each verified.

    It is left as the test before left it; say what you need: ``kernel_module.load()``.
    """
    _needs(board, "module", "module")
    _needs(board, "shell", "ssh")
    return board.module()


@pytest.fixture(name=MARKERS_FIXTURE)
def hil_markers(board: Board, request: pytest.FixtureRequest, _hil_session: HilSession) -> None:
    """What the test's markers want done before it; it also makes the test one that needs a board."""
    from pytest_shepherd_hil.markers import module_reload, reload_module

    wanted = module_reload(request.node)
    if wanted is not None:
        _needs(board, "module", "module")
        _needs(board, "shell", "ssh")
        reload_module(board, _hil_session, wanted)


def _needs(board: Board, part: str, table: str) -> None:
    if part not in board.has:
        pytest.skip(f"board {board.name} has no {part}: its [boards.{board.name}.{table}] is missing in boards.toml")

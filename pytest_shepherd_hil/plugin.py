"""pytest's hooks that are there in every run; those of a run with a board are in ``hooks.py``.

This module is imported in every pytest run of its environment, so it imports nothing that it can do without. Without
``--board`` nothing is opened or read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil import options
from pytest_shepherd_hil.fixtures import (
    BENCH,
    NO_BOARD,
    board,
    console,
    hil_markers,
    hil_session,
    kernel_module,
    logic,
    needs_board,
    shell,
)

if TYPE_CHECKING:
    from collections.abc import Generator

CAPPED = pytest.StashKey[str]()
"""What is to be said of ``-n auto``."""
MISUSE = pytest.StashKey[str]()
"""What an xdist worker would have ended the run with as a usage error."""

__all__ = ["board", "console", "hil_markers", "hil_session", "kernel_module", "logic", "shell"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ``--hil-*`` options."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; with ``--board`` read boards.toml, so that a wrong name ends the run at once."""
    for text in options.MARKERS.values():
        config.addinivalue_line("markers", text)
    names = options.wanted_boards(config)
    if not names or options.list_wanted(config) or config.getoption("setupplan", False):
        return
    from pytest_shepherd_hil.wiring import set_up

    config.stash[BENCH] = set_up(config, names)


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """``-n auto``: no more xdist workers than boards."""
    count = yield
    names = options.wanted_boards(config)
    if not names or count <= len(names):
        return count
    words = f"-n auto starts {len(names)} xdist worker(s), not {count}: no more than there are boards"
    config.stash[CAPPED] = f"hil: {words}"
    return len(names)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that there are fewer xdist workers than they would be without boards."""
    return config.stash.get(CAPPED, None)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """``--hil-list-boards``."""
    if not options.list_wanted(config):
        return None
    from pytest_shepherd_hil.report.listing import board_table
    from pytest_shepherd_hil.settings import boards_file

    print(board_table(boards_file(config)))
    return 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check the tests' markers, and have done what they want."""
    marked = [item for item in items if any(item.get_closest_marker(name) for name in options.MARKERS)]
    if not marked:
        return
    from pytest_shepherd_hil.markers import apply_markers

    try:
        for item in marked:
            apply_markers(item)
    except pytest.UsageError as error:
        output = getattr(config, "workeroutput", None)
        if output is None:
            raise
        output["hil_misuse"] = str(error)  # an xdist worker's error would be lost: its controller says it
        items.clear()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without a board, skip what needs one: all of it for one reason, at one place."""
    if BENCH not in item.config.stash and needs_board(item):
        pytest.skip(NO_BOARD)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In xdist's controller: take over a worker's usage error."""
    output = getattr(node, "workeroutput", {})
    if "hil_misuse" in output:
        node.config.stash[MISUSE] = output["hil_misuse"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A usage error is one, wherever it was found."""
    if MISUSE in session.config.stash:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say a worker's usage error."""
    if MISUSE in config.stash:
        terminalreporter.write_line(f"ERROR: {config.stash[MISUSE]}", red=True)

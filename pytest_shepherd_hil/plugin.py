"""pytest's hooks, and nothing but: each is one call to where the work is done.

This module is imported in every pytest run of its environment, so it imports nothing heavy. Without ``--board``
nothing is opened, read or imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil import options
from pytest_shepherd_hil.fixtures import (
    NO_BOARD,
    SESSION,
    board,
    console,
    hil_module_reload,
    kernel_module,
    logic,
    shell,
)
from pytest_shepherd_hil.markers import check_markers, needs_board, register_markers

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["board", "console", "hil_module_reload", "kernel_module", "logic", "shell"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ``--hil-*`` options."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers; with ``--board`` read boards.toml, so that a wrong name ends the run at once."""
    register_markers(config)
    name = options.wanted_board(config)
    if name is None or options.list_wanted(config):
        return
    from pytest_shepherd_hil.errors import ConfigError

    _refuse_many_workers(config, name)
    boards = options.boards_file(config)
    try:
        found = boards.board(name)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error
    from pytest_shepherd_hil.session import HilSession

    config.stash[SESSION] = HilSession(config, found, options.evidence_root(config))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the board, also where the run broke off before its end."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.close()


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """``--hil-list-boards``."""
    if not options.list_wanted(config):
        return None
    from pytest_shepherd_hil.report.listing import board_table

    print(board_table(options.boards_file(config)))
    return 0


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say which board the run uses."""
    session = config.stash.get(SESSION, None)
    if session is None:
        return None
    found = session.board_config
    return f"hil: board {found.name}{f' ({found.description})' if found.description else ''}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Check a test's markers, and have ``module_reload`` done by a fixture."""
    if not any(item.iter_markers()):
        return
    check_markers(item)
    names = getattr(item, "fixturenames", None)
    if names is not None and item.get_closest_marker("module_reload") and "_hil_module_reload" not in names:
        names.append("_hil_module_reload")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Skip what needs a board where there is none; guard what has one."""
    if not needs_board(item):
        return (yield)
    session = item.config.stash.get(SESSION, None)
    if session is None:
        pytest.skip(NO_BOARD)
    return (yield from session.setup(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Guard a test's body."""
    session = item.config.stash.get(SESSION, None)
    if session is None or not needs_board(item):
        return (yield)
    return (yield from session.call(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Guard a test's teardown; afterwards the board is brought back if need be."""
    session = item.config.stash.get(SESSION, None)
    if session is None or not needs_board(item):
        return (yield)
    return (yield from session.teardown(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A board's failure is a failure, whatever an xfail mark says."""
    report = yield
    session = item.config.stash.get(SESSION, None)
    if session is not None and session.failed(item, call.when):
        report.outcome = "failed"
        if hasattr(report, "wasxfail"):
            del report.wasxfail
        if call.excinfo is not None:
            report.longrepr = str(call.excinfo.value)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the board; what it did outside of any test fails the run."""
    hil = session.config.stash.get(SESSION, None)
    if hil is None:
        return
    hil.close()
    if hil.strays and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what happened outside of tests, and where the evidence lies."""
    session = config.stash.get(SESSION, None)
    if session is None:
        return
    from pytest_shepherd_hil.report.summary import write_summary

    write_summary(terminalreporter, session)


def _refuse_many_workers(config: pytest.Config, board_name: str) -> None:
    """xdist: one board serves one worker; more of them would read each other's bytes."""
    workers = len(config.getoption("tx", None) or [])
    if workers > 1 and not hasattr(config, "workerinput"):
        raise pytest.UsageError(
            f"-n {workers} with one board ({board_name}): a board serves one worker; use -n 1 or -n 0"
        )

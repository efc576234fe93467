"""pytest's hooks, and nothing but: each is one call to where the work is done.

This module is imported in every pytest run of its environment, so it imports nothing heavy. Without ``--board``
nothing is opened, read or imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from pytest_shepherd_hil.markers import apply_markers, needs_board, register_markers

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_shepherd_hil.session import HilSession

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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check the tests' markers, and have ``module_reload`` done by a fixture."""
    try:
        for item in items:
            apply_markers(item)
    except pytest.UsageError as error:
        session = config.stash.get(SESSION, None)
        if session is not None:
            session.summary.misuse = str(error)
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Guard a test's setup, whatever comes to need the board in it."""
    __tracebackhide__ = True
    session = _session(item)
    if session is None:
        return (yield)
    session.begin(item)
    return (yield from session.guarded(item, "setup"))


@pytest.hookimpl(specname="pytest_runtest_setup")
def pytest_hil_need_board(item: pytest.Item) -> None:
    """Open the board for a test that needs one, or skip it; after its own skip marks have been looked at."""
    if not needs_board(item):
        return
    session = _session(item)
    if session is None:
        if not item.config.getoption("setupplan", False):
            pytest.skip(NO_BOARD)
        return
    from pytest_shepherd_hil.errors import HilError

    try:
        session.enter(item)
    except HilError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Guard a test's body."""
    __tracebackhide__ = True
    session = _session(item)
    if session is None:
        return (yield)
    return (yield from session.guarded(item, "call"))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Leave out the body of a test whose expected, fatal incident has come before it."""
    session = _session(pyfuncitem)
    return True if session is not None and session.skips_body() else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Guard a test's teardown; afterwards the board is brought back if need be."""
    __tracebackhide__ = True
    session = _session(item)
    if session is None:
        return (yield)
    return (yield from session.teardown(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A board's failure is a failure, whatever an xfail mark says."""
    report = yield
    session = _session(item)
    message = session.failure(item, call.when) if session is not None else None
    if message is not None:
        report.outcome = "failed"
        report.longrepr = message
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    return report


@pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
def pytest_hil_end_fixtures(session: pytest.Session, exitstatus: int) -> None:
    """After Ctrl-C some fixtures are still set up: end them while there is a board."""
    hil = session.config.stash.get(SESSION, None)
    if hil is not None and exitstatus == pytest.ExitCode.INTERRUPTED:
        hil.tear_down_leftovers(session)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Close the board; what it did outside of any test fails the run."""
    hil = session.config.stash.get(SESSION, None)
    if hil is None:
        return
    hil.close()
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["hil"] = hil.summary.to_dict()
    if hil.summary.misuse is not None:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
    elif hil.summary.failed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """xdist's controller: take over what a worker has to say at its end."""
    hil = node.config.stash.get(SESSION, None)
    said = getattr(node, "workeroutput", {}).get("hil")
    if hil is not None and said is not None:
        hil.summary.merge(said)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what happened outside of tests, and where the evidence lies."""
    session = config.stash.get(SESSION, None)
    if session is not None:
        session.summary.write(terminalreporter)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """xdist: one board serves one worker; more of them would read each other's bytes."""
    name = options.wanted_board(config)
    if name is not None and len(specs) > 1:
        raise pytest.UsageError(
            f"{len(specs)} xdist workers with one board ({name}): a board serves one worker; use -n 1 or -n 0"
        )


def _session(item: pytest.Item) -> HilSession | None:
    """The run's session with a board, if it has one and tests are really run."""
    if item.config.getoption("setupplan", False):
        return None
    return item.config.stash.get(SESSION, None)

"""pytest's hooks of a run that has boards: each is one call to the session of the test's board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.fixtures import SESSION_FIXTURE, needs_board
from pytest_shepherd_hil.markers import marks_a_parameter

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_shepherd_hil.bench import Bench

__all__ = ["HilHooks"]


class HilHooks:
    """Registered as a plugin where ``--board`` is given."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def pytest_report_header(self) -> list[str]:
        """Say which boards the run uses."""
        return [
            f"hil: board {board.name}{f' ({board.description})' if board.description else ''}"
            for board in self._bench.boards
        ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """From here on SIGTERM ends the run as Ctrl-C does."""
        self._bench.termination.install()

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Where there are several boards, make a test that uses one once for each of them: ``test_it[bbb01]``."""
        if not self._bench.several:
            return
        if needs_board(metafunc.definition) or marks_a_parameter(metafunc.definition):
            if SESSION_FIXTURE not in metafunc.fixturenames:
                metafunc.fixturenames.append(SESSION_FIXTURE)
            names = self._bench.names
            metafunc.parametrize(SESSION_FIXTURE, names, indirect=True, ids=names, scope="session")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Between tests: what has happened there may be the end of the run."""
        self._bench.stop_for_strays()
        if item.session.shouldfail:
            raise item.session.Failed(item.session.shouldfail)
        result = yield
        self._bench.stop_for_strays()
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard a test's setup, whatever comes to need the board in it."""
        __tracebackhide__ = True
        session = self._bench.of(item)
        if session is None:
            return (yield)
        session.begin(item)
        return (yield from session.guarded(item, "setup"))

    @pytest.hookimpl(specname="pytest_runtest_setup")
    def pytest_hil_enter(self, item: pytest.Item) -> None:
        """Open the board for a test that needs one; after its own skip marks have been looked at."""
        __tracebackhide__ = True
        if not needs_board(item):
            return
        try:
            self._bench.session_for(item).enter(item)
        except HilError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard a test's body."""
        __tracebackhide__ = True
        session = self._bench.of(item)
        return (yield) if session is None else (yield from session.guarded(item, "call"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Leave out the body of a test whose expected, fatal incident has come before it."""
        session = self._bench.of(pyfuncitem)
        return True if session is not None and session.skips_body() else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard a test's teardown; afterwards the board is brought back if need be."""
        __tracebackhide__ = True
        session = self._bench.of(item)
        result = (yield) if session is None else (yield from session.teardown(item))
        return result

    @pytest.hookimpl(wrapper=True, trylast=True, specname="pytest_runtest_teardown")
    def pytest_hil_leave(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
        """A test's fixtures have ended, well or not; where the next test is for another board, end all of it."""
        __tracebackhide__ = True
        try:
            result = yield
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as error:
            both = self._bench.leave_after(error, item, nextitem)
            if both is not None:
                raise both from None
            raise
        self._bench.leave(item, nextitem)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A board's failure is a failure, whatever an xfail mark says."""
        report = yield
        session = self._bench.of(item)
        message = session.failure(item, call.when) if session is not None else None
        if message is not None:
            report.outcome = "failed"
            report.longrepr = message
            if hasattr(report, "wasxfail"):
                del report.wasxfail
        return report

    @pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
    def pytest_hil_end_fixtures(self, session: pytest.Session, exitstatus: int) -> None:
        """While there are boards: after Ctrl-C end the fixtures that are still set up; say what came late."""
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            self._bench.tear_down_leftovers(session)
        self._bench.finish()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Close the boards; what they did outside of any test fails the run."""
        self._bench.close()
        if self._bench.summary().failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what happened outside of tests, and where the evidence lies."""
        self._bench.summary().write(terminalreporter)

    def pytest_unconfigure(self) -> None:
        """Close the boards, also where the run broke off before its end."""
        self._bench.close()

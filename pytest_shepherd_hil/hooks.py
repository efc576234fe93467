"""pytest's hooks of a run that has a board: each is one call to its session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.fixtures import needs_board

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_shepherd_hil.session import HilSession

__all__ = ["HilHooks"]


class HilHooks:
    """Registered as a plugin where ``--board`` is given."""

    def __init__(self, session: HilSession) -> None:
        self._session = session

    def pytest_report_header(self) -> str:
        """Say which board the run uses."""
        board = self._session.board_config
        return f"hil: board {board.name}{f' ({board.description})' if board.description else ''}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: list[Any]) -> None:
        """One board serves one xdist worker; more of them would read each other's bytes."""
        if len(specs) > 1:
            raise pytest.UsageError(
                f"{len(specs)} xdist workers with one board ({self._session.board_config.name}): "
                "a board serves one worker; use -n 1 or -n 0"
            )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard a test's setup, whatever comes to need the board in it."""
        __tracebackhide__ = True
        self._session.begin(item)
        return (yield from self._session.guarded(item, "setup"))

    @pytest.hookimpl(specname="pytest_runtest_setup")
    def pytest_hil_enter(self, item: pytest.Item) -> None:
        """Open the board for a test that needs one; after its own skip marks have been looked at."""
        __tracebackhide__ = True
        if not needs_board(item):
            return
        try:
            self._session.enter(item)
        except HilError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard a test's body."""
        __tracebackhide__ = True
        return (yield from self._session.guarded(item, "call"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self) -> bool | None:
        """Leave out the body of a test whose expected, fatal incident has come before it."""
        return True if self._session.skips_body() else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Guard a test's teardown; afterwards the board is brought back if need be."""
        __tracebackhide__ = True
        return (yield from self._session.teardown(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A board's failure is a failure, whatever an xfail mark says."""
        report = yield
        message = self._session.failure(item, call.when)
        if message is not None:
            report.outcome = "failed"
            report.longrepr = message
            if hasattr(report, "wasxfail"):
                del report.wasxfail
        return report

    @pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
    def pytest_hil_end_fixtures(self, session: pytest.Session, exitstatus: int) -> None:
        """While there is a board: after Ctrl-C end the fixtures that are still set up; say what came late."""
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            self._session.tear_down_leftovers(session)
        self._session.tell_late()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Close the board; what it did outside of any test fails the run."""
        self._session.close()
        summary = self._session.summary
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["hil"] = summary.to_dict()
        if summary.failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """In xdist's controller: take over what a worker has to say at its end."""
        output = getattr(node, "workeroutput", {})
        if "hil" in output:
            self._session.summary.merge(output["hil"])
            for data in output["hil"]["late"]:
                report = node.config.hook.pytest_report_from_serializable(config=node.config, data=data)
                node.config.hook.pytest_runtest_logreport(report=report)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what happened outside of tests, and where the evidence lies."""
        self._session.summary.write(terminalreporter)

    def pytest_unconfigure(self) -> None:
        """Close the board, also where the run broke off before its end."""
        self._session.close()

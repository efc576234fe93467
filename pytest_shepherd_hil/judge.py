"""What a phase of a test comes to: its own outcome, or a failure for what its board did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.guard.hang import ask_kernel
from pytest_shepherd_hil.guard.verdict import excused, missing, only_echo
from pytest_shepherd_hil.report.failure import BoardIncidentError, NotAtFaultError, failure_message
from pytest_shepherd_hil.report.hang import hang_text, host_stacks, is_timeout
from pytest_shepherd_hil.report.late import late_report

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.guard.guard import Guard
    from pytest_shepherd_hil.guard.settle import Settling
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.record import RunRecord
    from pytest_shepherd_hil.report.summary import RunSummary

__all__ = ["Judge"]


class Judge:
    """Passes a verdict on each phase. The guard's record decides, not the exception that a test ended with.

    Args:
        config: pytest's.
        board: the board.
        guard: its guard.
        settling: waits for what it still has to say.
        record: keeps the evidence.
        summary: takes what is to be said at the end.
        on_incident: what the user wants done: ``fail``, ``abort-run`` or ``report``.
    """

    def __init__(
        self,
        config: pytest.Config,
        board: Board,
        guard: Guard,
        settling: Settling,
        record: RunRecord,
        summary: RunSummary,
        on_incident: str,
    ) -> None:
        self._config = config
        self._board = board
        self._guard = guard
        self._settling = settling
        self._record = record
        self._summary = summary
        self._on_incident = on_incident
        self._verdicts: dict[tuple[str, str], str] = {}
        self._locations: dict[str, tuple[str, int | None, str]] = {}

    @property
    def only_reports(self) -> bool:
        """Whether incidents fail nothing."""
        return self._on_incident == "report"

    def failure(self, test: str, phase: str) -> str | None:
        """The failure message, if the board made this phase fail."""
        return self._verdicts.get((test, phase))

    def judge(
        self, item: pytest.Item, phase: str, window: Window, raised: BaseException | None, note: str | None
    ) -> BaseException | None:
        """What a phase ends with: an exception of ours, its own, or none.

        Args:
            raised: what the phase has raised.
            note: where in the test it happened, if that says more than the phase does.
        """
        guard, board = self._guard, self._board
        self._locations[item.nodeid] = item.location
        if raised is not None and is_timeout(raised):
            self._picture_hang(item, phase, window, raised)
        self._settling.settle(window, thorough=phase != "setup")
        incidents = guard.unexpected(window)
        lacking = missing(window, raised, final=phase == "call")
        if incidents or lacking:
            self._record.mark(item.nodeid)
        if incidents and self.only_reports:
            self.write_evidence(window)
            self._summary.reported += [f"{item.nodeid}: {one.headline(board.name)}" for one in incidents]
            guard.named(window, incidents)
            incidents = []
        if incidents and self._on_incident == "abort-run":
            self._abort_run(incidents[0])
        if incidents or lacking:
            message = failure_message(
                board.name,
                incidents,
                note=note,
                folder=self.write_evidence(window),
                pins=self._record.pins(window.test),
                own_error=None if raised is None or only_echo(raised) else raised,
                missing=lacking,
                sources=self._record.sources,
            )
            if incidents:
                self._verdicts[item.nodeid, phase] = message
                guard.named(window, incidents)  # now that the message stands: whatever comes between loses nothing
            # with the traceback of what it replaces, so that a debugger stops where the test was
            return BoardIncidentError(message).with_traceback(raised.__traceback__ if raised is not None else None)
        if raised is not None and only_echo(raised) and guard.harm is not None and not guard.incidents(window):
            return NotAtFaultError(
                f"board {board.name} died while this test ran, of what had happened before it: {guard.harm.headline()}"
            )
        if raised is not None and excused(window, guard.incidents(window), raised):
            return None
        return raised

    def tell_late(self) -> None:
        """What came out when its test had ended is an extra failure of that test."""
        for window, incidents in self._guard.late():
            self._record.mark(window.test)
            folder = self.write_evidence(window)
            if self.only_reports:
                self._summary.reported += [f"{window.test}: {found.headline(self._board.name)}" for found in incidents]
                self._guard.named(window, incidents)
                continue
            message = failure_message(
                self._board.name,
                incidents,
                note=None,
                folder=folder,
                own_error=None,
                sources=self._record.sources,
                pins=self._record.pins(window.test),
            )
            location = self._locations.get(window.test, (window.test, None, window.test))
            report = late_report(window, location, message, incidents)
            hook = self._config.hook
            if self._on_incident == "abort-run":
                self._abort_run(incidents[0])
            self._summary.late.append(hook.pytest_report_to_serializable(config=self._config, report=report))
            self._guard.named(window, incidents)
            if hasattr(self._config, "workerinput"):  # a worker's reports must be of the test that it runs
                self._count_failure()
            else:
                hook.pytest_runtest_logreport(report=report)

    def _count_failure(self) -> None:
        """As pytest does for each report, for ``--maxfail``."""
        session, most = self._config.pluginmanager.get_plugin("session"), self._config.getoption("maxfail")
        if session is not None:
            session.testsfailed += 1
            if most and session.testsfailed >= most:
                session.shouldfail = f"stopping after {session.testsfailed} failures"

    def stop_for_strays(self) -> None:
        """Where the user wants that, an incident that is no test's ends the run, too. To be asked when no test runs."""
        if self._on_incident == "abort-run":
            for incident in self._guard.nobodys()[:1]:
                self._abort_run(incident)

    def _abort_run(self, incident: Incident) -> None:
        session = self._config.pluginmanager.get_plugin("session")
        if session is not None:
            session.shouldfail = f"{incident.headline(self._board.name)} (--hil-on-incident=abort-run)"

    def write_evidence(self, window: Window) -> Path | None:
        """Write the evidence of a test as it is known now; None where it is not worth it."""
        return self._record.write_test(self._board, self._guard, window)

    def _picture_hang(self, item: pytest.Item, phase: str, window: Window, raised: BaseException) -> None:
        """Keep what host and board show of a test that hung, before anything is done about it."""
        board = self._board
        host = host_stacks(raised)
        tail = [line.text for line in board.log.tail(20)]
        said = []
        if board.link is not None and not board.restarting:
            said = ask_kernel(board.link, board.log, "wlt", lambda: board.dead is not None)
        calls = board.shell.calls if "shell" in board.has else []
        text = hang_text(board.log, host, tail, [call for call in calls if call.started_ns >= window.started_ns], said)
        item.add_report_section(phase, f"board {board.name} while the test hung", text)
        self._record.mark(item.nodeid)
        self._record.write_texts(item.nodeid, {"hang.txt": text})

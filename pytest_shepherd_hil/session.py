"""One pytest run with a board: opens it, guards each test, brings it back, closes it."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.board import Board
from pytest_shepherd_hil.errors import BoardDeadError, BoardError, CommandCutError, HilError, RecoveryError, ShellError
from pytest_shepherd_hil.evidence.bundle import EvidenceRun
from pytest_shepherd_hil.guard.abort import Interrupter, TestAbortedError
from pytest_shepherd_hil.guard.guard import Guard
from pytest_shepherd_hil.kernel.incident import Incident, Severity
from pytest_shepherd_hil.markers import expectations
from pytest_shepherd_hil.outcome import Failed
from pytest_shepherd_hil.recovery import recover
from pytest_shepherd_hil.report.failure import BoardIncidentError, failure_message

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.console.port import PortLostError
    from pytest_shepherd_hil.guard.attribution import Window

__all__ = ["HilSession"]

_PASS_THROUGH = (KeyboardInterrupt, pytest.exit.Exception, SystemExit)


class HilSession:
    """Everything between pytest's hooks and one board.

    Args:
        config: pytest's.
        board: the board that the run uses.
        evidence_root: folder that gets this run's folder.
    """

    REPORT_END_S = 5.0
    """How long a test waits for the end of a report that is being printed, once it has ended itself."""
    AFTERMATH_S = 0.3
    """How long what follows from an incident is waited for: a PRU that is late, then the jump of its clock."""
    SETTLE_S = 0.2
    """How long a test waits for late words where no fence can be written."""

    def __init__(self, config: pytest.Config, board: BoardConfig, evidence_root: Path) -> None:
        self._config = config
        self.board_config = board
        self._evidence_root = evidence_root
        self.evidence: EvidenceRun | None = None
        self.strays: list[str] = []
        """Headlines of incidents outside of any test."""
        self.warnings: Counter[str] = Counter()
        """How often each message came that is worth a word but fails nothing."""
        self.failed_tests: dict[str, Path] = {}
        """The evidence folder of each failed test, by node id."""
        self._interrupter = Interrupter()
        self._board: Board | None = None
        self._guard: Guard | None = None
        self._window: Window | None = None
        self._console: Console | None = None
        self._note: str | None = None
        self._unhealthy: str | None = None
        self._hopeless: BaseException | None = None
        self._harmed_by = 0
        self._verdicts: set[tuple[str, str]] = set()
        self._calls_seen = 0

    # what fixtures ask for

    @property
    def board(self) -> Board:
        """The open board.

        Raises:
            HilError: it could not be opened; the same each time.
        """
        if self._board is None:
            raise BoardError(f"board {self.board_config.name} is not open outside of tests")
        return self._board

    def console(self) -> Console:
        """The test's own view of the console: it begins where the test's window begins."""
        if self._console is None:
            self._console = self.board.console()
        return self._console

    # opening and closing

    def _open(self) -> Board:
        if self._hopeless is not None:
            raise self._hopeless
        if self._board is not None:
            return self._board
        name = self.board_config.name
        evidence = None
        try:
            evidence = EvidenceRun(self._evidence_root, name)
            board = Board(
                self.board_config,
                console_log=evidence.console_log,
                say=self._say,
                on_incident=self._on_incident,
                on_console_lost=self._on_console_lost,
            )
            self._guard = Guard(board.log, stop_test=self._stop_test, board_died=self._board_died)
            self._board = board
            self._interrupter.install()
            board.open()
        except HilError as error:
            self._hopeless = error
            self._board = None
            self._interrupter.uninstall()
            raise
        except BaseException:
            self._board = None
            self._interrupter.uninstall()
            raise
        self.evidence = evidence
        return board

    def close(self) -> None:
        """Close the board. Whatever ends the run, this is called; never raises for what a board does."""
        board, self._board = self._board, None
        self._interrupter.uninstall()
        if board is None:
            return
        if self._guard is not None:
            self.strays = [incident.headline(board.name) for incident in self._guard.strays()]
            self._write_strays(board)
            self.warnings = Counter(incident.title for incident in self._guard.warnings())
        board.close()
        if board.log.disk_error is not None and self.evidence is not None:
            self.evidence.problems.append(f"the console log is incomplete: {board.log.disk_error}")

    def _write_strays(self, board: Board) -> None:
        assert self._guard is not None
        strays = self._guard.strays()
        if strays and self.evidence is not None:
            folder = self.evidence.for_test("outside-of-tests")
            folder.write(
                test="(outside of tests)",
                log=board.log,
                lines=board.log.lines(max(strays[0].first_line - 50, 0), strays[-1].last_line + 50),
                incidents=strays,
                calls=(),
                capture=None,
            )
            self.failed_tests["(outside of tests)"] = folder.folder

    # the phases of a test; each is the body of a hook wrapper

    def setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Around a test's setup: the board is open and healthy, and the test's window begins."""
        self._note = None
        try:
            board = self._open()
            self._make_healthy()
        except HilError as error:
            raise Failed(str(error), pytrace=False) from None
        assert self._guard is not None
        self._window = self._guard.begin(item.nodeid, expectations(item))
        self._console = board.console() if "console" in board.has else None
        self._calls_seen = len(board.shell.calls) if "shell" in board.has else 0
        if "logic" in board.has:
            board.logic.forget()
        return (yield from self._guarded(item, "setup"))

    def call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Around a test's body."""
        return (yield from self._guarded(item, "call"))

    def teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Around a test's teardown: its window ends, and the board is brought back."""
        if self._window is None or self._board is None:  # setup did not get so far
            return (yield)
        raised: BaseException | None = None
        result: object = None
        try:
            result = yield from self._guarded(item, "teardown")
        except _PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001  outcomes are no Exception
            raised = error
        finally:
            window, self._window, self._console = self._window, None, None
            if self._guard is not None:
                self._guard.end(window)
                self._write_evidence(item.nodeid, window)
        try:
            self._make_healthy()
        except HilError as error:
            also = f"{raised}\n" if raised is not None else ""
            raise Failed(f"{also}{error}", pytrace=False) from None
        if raised is not None:
            raise raised
        return result

    def await_quiet(self) -> None:
        """Wait until all that the kernel has printed so far has come out and been judged."""
        if self._window is not None:
            self._settle(self._window, "call")

    def note(self, text: str | None) -> None:
        """Where in the test we are, for the failure message: ``module_reload cycle 3 of 20``."""
        self._note = text

    def failed(self, item: pytest.Item, phase: str) -> bool:
        """Whether the guard's verdict on this phase is that it failed."""
        return (item.nodeid, phase) in self._verdicts

    def _guarded(self, item: pytest.Item, phase: str) -> Generator[None, object, object]:
        """Let a phase run, wait until the board has said all it has to say about it, and judge."""
        result: object = None
        raised: BaseException | None = None
        try:
            with self._interrupter.armed():
                if phase == "call":
                    self._stop_for_old_news()
                result = yield
        except _PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001  also outcomes: skip and fail are no Exception
            raised = error
        window, guard = self._window, self._guard
        assert window is not None
        assert guard is not None
        self._settle(window, phase)
        incidents = guard.judge(window)
        missing = self._missing(window, phase, raised)
        if incidents or missing:
            self._verdicts.add((item.nodeid, phase))
            own = None if isinstance(raised, (TestAbortedError, CommandCutError, BoardDeadError)) else raised
            folder = self._write_evidence(item.nodeid, window)
            message = failure_message(
                self.board.name, incidents, note=self._note, folder=folder, own_error=own, missing=missing
            )
            raise BoardIncidentError(message) from None
        if raised is None or self._excused(window, raised):
            return result
        raise raised

    def _stop_for_old_news(self) -> None:
        """An incident may have come since setup was judged: then the body need not begin."""
        assert self._guard is not None
        assert self._window is not None
        found = self._guard.unexpected(self._window)
        if found:
            raise TestAbortedError(found[0].headline(self.board.name))

    def _missing(self, window: Window, phase: str, raised: BaseException | None) -> list[str]:
        """The expected incidents that have not come; asked once, after the body."""
        own_failure = raised is not None and not isinstance(raised, (TestAbortedError, HilError))
        if phase != "call" or own_failure:
            return []
        return [
            f"{expectation} ({len(expectation.seen)} came)" if expectation.seen else str(expectation)
            for expectation in window.expectations
            if expectation.missing
        ]

    def _excused(self, window: Window, raised: BaseException) -> bool:
        """Whether an exception is only the expected death of the board making itself felt."""
        assert self._guard is not None
        died = any(incident.fatal for incident in self._guard.incidents(window))
        return died and bool(window.expectations) and isinstance(raised, (TestAbortedError, HilError))

    # waiting and judging

    def _settle(self, window: Window, phase: str) -> None:
        """Wait until everything that the kernel printed in this phase has come out and been judged."""
        board, guard = self.board, self._guard
        assert guard is not None
        self._linger(board, guard, window)
        if board.dead is None and self._touched(phase):
            self._cross_fence(board, guard)
        deadline = time.monotonic() + self.REPORT_END_S
        while guard.report_open(window) and time.monotonic() < deadline:
            time.sleep(0.005)

    def _linger(self, board: Board, guard: Guard, window: Window) -> None:
        """Give an incident that leaves the kernel running a moment to show what follows from it."""
        if not guard.unexpected(window):
            return
        deadline = time.monotonic() + self.AFTERMATH_S
        while board.dead is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def _touched(self, phase: str) -> bool:
        """Whether a fence is due: always after the body, else only if the phase used the board."""
        if phase == "call" or "shell" not in self.board.has:
            return phase == "call"
        calls = len(self.board.shell.calls)
        return calls != self._calls_seen

    def _cross_fence(self, board: Board, guard: Guard) -> None:
        if board.fences is None:
            time.sleep(self.SETTLE_S)
            return
        try:
            crossed = board.fences.cross(lambda: board.dead is not None)
        except (ShellError, BoardDeadError) as error:
            if board.dead is None:
                self._unhealthy = self._unhealthy or f"the shell did not take a fence: {error}"
            return
        finally:
            self._calls_seen = len(board.shell.calls)
        if crossed is None and board.dead is None:
            guard.add(
                "console-lost",
                f"console lost: a line written to /dev/kmsg did not come out within {board.fences.SILENCE_S:g} s",
                fatal=False,
                hint="the shell still answers, so the kernel lives: look at the UART's wire and adapter",
            )

    # called in the console's own thread

    def _on_incident(self, incident: Incident) -> None:
        if self._guard is not None:
            more_of_it = self._unhealthy is not None and incident.id == self._harmed_by
            if incident.severity is Severity.FAIL and (more_of_it or incident.id > self._harmed_by):
                self._harmed_by = incident.id
                self._unhealthy = incident.headline(self.board_config.name)
            self._guard.on_incident(incident)

    def _on_console_lost(self, error: PortLostError) -> None:
        board, guard = self._board, self._guard
        if board is None or guard is None:
            return
        title = f"console lost: {error.what}"
        self._unhealthy = self._unhealthy or title
        guard.add("console-lost", title, fatal=True, hint="the adapter was unplugged, or its driver or server gave up")

    def _board_died(self, incident: Incident) -> None:
        if self._board is not None:
            self._board.died(incident.headline(self._board.name))

    def _stop_test(self, incident: Incident) -> None:
        board = self._board
        if board is None:
            return

        def cut() -> None:
            if board.dead is None and "shell" in board.has:
                board.shell.interrupt(incident.headline(board.name))

        self._interrupter.interrupt(incident.headline(board.name), cut)

    # bringing the board back

    def _make_healthy(self) -> None:
        if self._hopeless is not None:
            raise self._hopeless
        if self._unhealthy is not None:
            self._bring_back()

    def _bring_back(self) -> None:
        try:
            recover(self.board, self._unhealthy or "unknown", self._say)
        except RecoveryError as error:
            self._hopeless = error
            raise
        self._unhealthy = None

    # evidence and words

    def _write_evidence(self, test: str, window: Window) -> Path | None:
        board, guard = self.board, self._guard
        if self.evidence is None or guard is None:
            return None
        if not any((test, phase) in self._verdicts for phase in ("setup", "call", "teardown")):
            return None
        folder = self.evidence.for_test(test)
        calls = board.shell.calls if "shell" in board.has else []
        folder.write(
            test=test,
            log=board.log,
            lines=board.log.lines(window.first_line, window.end_line),
            incidents=guard.incidents(window),
            calls=[call for call in calls if call.started_ns >= window.started_ns],
            capture=board.logic.snapshot() if "logic" in board.has else None,
        )
        self.failed_tests[test] = folder.folder
        return folder.folder

    def _say(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or reporter.verbosity < 0:
            return
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
            reporter.ensure_newline()
            if (
                self._config.get_terminal_writer().width_of_current_line
            ):  # a letter that came after another line of ours
                reporter.write_line("")
            reporter.write_line(f"hil: {text}")

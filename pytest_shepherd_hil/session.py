"""One pytest run with a board: opens it, guards each test, brings it back, closes it."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.board import Board
from pytest_shepherd_hil.errors import BoardError, HilError, RecoveryError
from pytest_shepherd_hil.evidence.bundle import EvidenceRun
from pytest_shepherd_hil.guard.abort import Interrupter, TestAbortedError
from pytest_shepherd_hil.guard.guard import Guard
from pytest_shepherd_hil.guard.settle import Settling
from pytest_shepherd_hil.guard.verdict import excused, missing, only_echo
from pytest_shepherd_hil.identity import boots_text
from pytest_shepherd_hil.markers import expectations
from pytest_shepherd_hil.outcome import Failed
from pytest_shepherd_hil.recovery import recover
from pytest_shepherd_hil.report.failure import BoardIncidentError, failure_message
from pytest_shepherd_hil.report.summary import RunSummary

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.console.port import PortLostError
    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["HilSession"]

_PASS_THROUGH = (KeyboardInterrupt, pytest.exit.Exception)
_OUTSIDE = "(outside of tests)"


class HilSession:
    """Everything between pytest's hooks and one board.

    Args:
        config: pytest's.
        board: the board that the run uses.
        evidence_root: folder that gets this run's folder.

    Attributes:
        summary: what is to be said at the end.
    """

    def __init__(self, config: pytest.Config, board: BoardConfig, evidence_root: Path) -> None:
        self._config = config
        self.board_config = board
        self.summary = RunSummary()
        self._evidence_root = evidence_root
        self._evidence: EvidenceRun | None = None
        self._interrupter = Interrupter()
        self._board: Board | None = None
        self._guard: Guard | None = None
        self._settling: Settling | None = None
        self._item: pytest.Item | None = None
        self._window: Window | None = None
        self._console: Console | None = None
        self._note: str | None = None
        self._hopeless: str | None = None
        self._hopeless_told = False
        self._verdicts: dict[tuple[str, str], str] = {}
        self._failed: set[str] = set()

    # what fixtures ask for

    def board(self) -> Board:
        """The open board; the test that runs is guarded from here on, if it was not yet.

        Raises:
            HilError: it cannot be opened, or did not come back.
        """
        if self._window is None and self._item is not None:
            self.enter(self._item)
        if self._board is None:
            raise BoardError(f"board {self.board_config.name} is open only while a test runs")
        return self._board

    def board_for_fixture(self) -> Board:
        """As :meth:`board`; what is wrong fails the test, in plain words."""
        try:
            return self.board()
        except HilError as error:
            raise Failed(str(error), pytrace=False) from None

    def console(self) -> Console:
        """The test's own view of the console: it begins where the test's window begins."""
        board = self.board()
        if self._console is None:
            self._console = board.console()
        return self._console

    def await_quiet(self) -> None:
        """Wait until all that the kernel has printed so far has come out and been judged."""
        if self._window is not None and self._settling is not None:
            self._settling.settle(self._window, thorough=True)

    def note(self, text: str | None) -> None:
        """Where in the test we are, for the failure message: ``module_reload cycle 3 of 20``."""
        self._note = text

    # opening and closing

    def _open(self) -> Board:
        if self._hopeless is not None:
            raise BoardError(self._why_hopeless())
        if self._board is not None:
            return self._board
        try:
            self._evidence = evidence = EvidenceRun(self._evidence_root, self.board_config.name)
            self._board = board = Board(
                self.board_config,
                console_log=evidence.console_log,
                say=self._say,
                on_incident=self._on_incident,
                on_console_lost=self._on_console_lost,
            )
            self._guard = Guard(board.log, stop_test=self._stop_test, board_died=self._board_died)
            self._settling = Settling(board, self._guard)
            self._interrupter.install()
            board.open()
            self._write_boots(board)
        except BaseException as error:
            if isinstance(error, HilError):
                self._hopeless = self._why_not_open(error)
                self._hopeless_told = True
            self._board = None
            self._interrupter.uninstall()
            if self._hopeless is not None:
                raise BoardError(self._hopeless) from None
            raise
        return board

    def _why_not_open(self, error: HilError) -> str:
        """An error, and before it what the kernel said meanwhile."""
        strays = self._guard.strays() if self._guard is not None else []
        if not strays or self._evidence is None:
            return str(error)
        headlines = [incident.headline(self.board_config.name) for incident in strays]
        return "\n".join(
            [*headlines, f"  while it was being opened: {error}", f"  console   {self._evidence.console_log}"]
        )

    def _why_hopeless(self) -> str:
        """The reason in full the first time, afterwards in a line."""
        assert self._hopeless is not None
        if self._hopeless_told:
            return f"{self._hopeless.splitlines()[0]} (as before)"
        self._hopeless_told = True
        return self._hopeless

    def tear_down_leftovers(self, session: pytest.Session) -> None:
        """After Ctrl-C: end the fixtures that are still set up, while the board is still open."""
        try:
            session._setupstate.teardown_exact(None)
        except BaseException as error:  # noqa: BLE001  whatever a fixture raises: the run is ending anyway
            self._say(f"a fixture's teardown failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}")

    def close(self) -> None:
        """Close the board. Whatever ends the run, this is called; once is enough."""
        board, self._board = self._board, None
        self._interrupter.uninstall()
        if board is None:
            return
        try:
            board.close()
        finally:
            self._sum_up(board)

    def _sum_up(self, board: Board) -> None:
        assert self._guard is not None
        strays = self._guard.strays()
        self.summary.strays = [incident.headline(board.name) for incident in strays]
        if self._settling is not None and self._settling.paused:
            self.summary.notes.append(
                f"board {board.name} has no shell to write a fence with: each test ended with a pause of "
                f"{Settling.SETTLE_S:g} s, and later words of it may be charged to the next"
            )
        self.summary.warnings = dict(Counter(incident.title for incident in self._guard.warnings()))
        if self._hopeless is not None and not self._hopeless_told:
            self.summary.broken.append(self._hopeless.splitlines()[0])
        if self._evidence is None:
            return
        if strays:
            folder = self._evidence.for_test("outside-of-tests")
            lines = board.log.lines(max(strays[0].first_line - 50, 0), strays[-1].last_line + 50)
            folder.write(test=_OUTSIDE, log=board.log, lines=lines, incidents=strays, calls=(), capture=None)
            self.summary.evidence[_OUTSIDE] = str(folder.folder)
        self.summary.problems = self._evidence.problems
        if board.log.disk_error is not None:
            self.summary.problems.append(f"the console log is incomplete: {board.log.disk_error}")

    # the phases of a test

    def begin(self, item: pytest.Item) -> None:
        """A test begins, whether or not it will have to do with the board."""
        self._item = item
        self._note = None

    def enter(self, item: pytest.Item) -> None:
        """A test begins to have to do with the board: it is opened, or brought back; the test's window begins.

        Raises:
            HilError: the board cannot be opened, or did not come back.
        """
        board = self._open()
        self._make_healthy()
        if self._hopeless is not None:
            raise BoardError(self._why_hopeless())
        assert self._guard is not None
        assert self._settling is not None
        self._window = self._guard.begin(item.nodeid, expectations(item))
        self._console = board.console() if "console" in board.has else None
        self._settling.begin()
        if "logic" in board.has:
            board.logic.forget()

    def guarded(self, item: pytest.Item, phase: str) -> Generator[None, object, object]:
        """Let a phase run, wait until the board has said all it has to say about it, and judge."""
        __tracebackhide__ = True
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
        if self._window is not None:
            raised = self._judge(item, phase, self._window, raised)
        if raised is not None:
            raise raised
        return result

    def teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Around a test's teardown: its window ends, and the board is brought back."""
        __tracebackhide__ = True
        result: object = None
        raised: BaseException | None = None
        try:
            result = yield from self.guarded(item, "teardown")
        except _PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001  outcomes are no Exception
            raised = error
        finally:
            self._item = None
            window, self._window, self._console = self._window, None, None
            if window is not None and self._guard is not None:
                self._guard.end(window)
                self._write_evidence(item.nodeid, window)
        if self._guard is not None and self._guard.harm is not None:
            raised = self._tear_down_all(item, raised)
            self._make_healthy()
        if raised is not None:
            raise raised
        return result

    def skips_body(self) -> bool:
        """Whether a fatal incident has come that the test expects: there is nothing left for its body to do."""
        if self._window is None or self._guard is None:
            return False
        expected = self._window.expected
        return any(incident.fatal and incident.id in expected for incident in self._guard.incidents(self._window))

    def failure(self, item: pytest.Item, phase: str) -> str | None:
        """The failure message, if the board made this phase fail."""
        return self._verdicts.get((item.nodeid, phase))

    def _judge(
        self, item: pytest.Item, phase: str, window: Window, raised: BaseException | None
    ) -> BaseException | None:
        """What a phase ends with: an exception of ours, its own, or none."""
        guard, settling = self._guard, self._settling
        assert guard is not None
        assert settling is not None
        settling.settle(window, thorough=phase == "call")
        incidents = guard.judge(window)
        lacking = missing(window, raised) if phase == "call" else []
        if incidents or lacking:
            self._failed.add(item.nodeid)
            message = failure_message(
                self.board_config.name,
                incidents,
                note=self._note,
                folder=self._write_evidence(item.nodeid, window),
                own_error=None if raised is None or only_echo(raised) else raised,
                missing=lacking,
            )
            if incidents:
                self._verdicts[item.nodeid, phase] = message
            # with the traceback of what it replaces, so that a debugger stops where the test was
            return BoardIncidentError(message).with_traceback(raised.__traceback__ if raised is not None else None)
        if raised is not None and excused(window, guard.incidents(window), raised):
            return None
        return raised

    def _stop_for_old_news(self) -> None:
        """An incident may have come since setup was judged: then the body need not begin."""
        if self._window is None or self._guard is None:
            return
        found = self._guard.unexpected(self._window)
        if found:
            raise TestAbortedError(found[0].headline(self.board_config.name))

    # called in the console's own thread

    def _on_incident(self, incident: Incident) -> None:
        if self._guard is not None:
            self._guard.on_incident(incident)

    def _on_console_lost(self, error: PortLostError) -> None:
        if self._guard is not None:
            hint = "the adapter was unplugged, or its driver or server gave up"
            self._guard.add("console-lost", f"console lost: {error.what}", fatal=True, hint=hint)

    def _board_died(self, incident: Incident) -> None:
        if self._board is not None:
            self._board.died(incident.headline(self._board.name))

    def _stop_test(self, incident: Incident) -> None:
        board = self._board
        if board is None:
            return
        headline = incident.headline(board.name)

        def cut() -> None:
            if board.dead is None and "shell" in board.has:
                board.shell.interrupt(headline)

        self._interrupter.interrupt(headline, cut)

    # bringing the board back

    @staticmethod
    def _tear_down_all(item: pytest.Item, raised: BaseException | None) -> BaseException | None:
        """End the fixtures of wider scope, too, and return the first error so far.

        What they hold belongs to a kernel that is about to be restarted, and an exception that interrupted their setup
        would be raised again for each later test.
        """
        try:
            item.session._setupstate.teardown_exact(None)
        except _PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001  outcomes are no Exception
            if raised is None and not only_echo(error):
                return error
        return raised

    def _make_healthy(self) -> None:
        """Bring the board back, if something has harmed it; if that fails, there is no hope for the rest of the run."""
        guard, board = self._guard, self._board
        if guard is None or board is None or self._hopeless is not None:
            return
        for _ in range(2):
            harm = guard.harm
            if harm is None:
                return
            guard.healed()
            try:
                recover(board, harm.headline(board.name), self._say)
            except RecoveryError as error:
                self._hopeless = str(error)
                self._say(self._hopeless.splitlines()[0])
                return
            self._write_boots(board)
        harm = guard.harm
        if harm is not None:
            self._hopeless = f"board {board.name} fails again each time it boots: {harm.headline(board.name)}"
            self._say(self._hopeless)

    # evidence and words

    def _write_boots(self, board: Board) -> None:
        if self._evidence is not None and board.boots:
            self._evidence.write("board.txt", boots_text(board.name, board.boots))

    def _write_evidence(self, test: str, window: Window) -> Path | None:
        board, guard = self._board, self._guard
        if self._evidence is None or guard is None or board is None:
            return None
        if test not in self._failed:
            return None
        folder = self._evidence.for_test(test)
        calls = board.shell.calls if "shell" in board.has else []
        folder.write(
            test=test,
            log=board.log,
            lines=board.log.lines(window.first_line, window.end_line),
            incidents=guard.incidents(window),
            calls=[call for call in calls if call.started_ns >= window.started_ns],
            capture=board.logic.snapshot() if "logic" in board.has else None,
        )
        self.summary.evidence[test] = str(folder.folder)
        return folder.folder

    def _say(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or reporter.verbosity < 0:
            return
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
            reporter.ensure_newline()
            if self._config.get_terminal_writer().width_of_current_line:  # a letter after another line of ours
                reporter.write_line("")
            reporter.write_line(f"hil: {text}")

"""One pytest run with a board: opens it, guards each test, brings it back, closes it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.board import Board
from pytest_shepherd_hil.errors import BoardError, HilError, MisuseError
from pytest_shepherd_hil.evidence.sources import CrashSources, symbol_files
from pytest_shepherd_hil.guard.abort import Interrupter, TestAbortedError
from pytest_shepherd_hil.guard.block import IncidentBlock
from pytest_shepherd_hil.guard.guard import Guard
from pytest_shepherd_hil.guard.settle import Settling
from pytest_shepherd_hil.guard.verdict import only_echo
from pytest_shepherd_hil.health import GivenUp, Health
from pytest_shepherd_hil.judge import Judge
from pytest_shepherd_hil.markers import expectations
from pytest_shepherd_hil.outcome import Failed
from pytest_shepherd_hil.record import RunRecord
from pytest_shepherd_hil.report.summary import RunSummary

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.console.port import PortLostError
    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.guard.expected import Expectation
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.settings import RunOptions

__all__ = ["HilSession"]

_PASS_THROUGH = (KeyboardInterrupt, pytest.exit.Exception)


class HilSession:
    """Everything between pytest's hooks and one board.

    Args:
        config: pytest's.
        board: the board that the run uses.
        options: what the user chose.

    Attributes:
        summary: what is to be said at the end.
    """

    def __init__(self, config: pytest.Config, board: BoardConfig, options: RunOptions) -> None:
        self._config = config
        self.board_config = board
        self.summary = RunSummary()
        self._options = options
        self._sources = CrashSources(lambda: symbol_files(board))
        self._record: RunRecord | None = None
        self._interrupter = Interrupter()
        self._board: Board | None = None
        self._guard: Guard | None = None
        self._settling: Settling | None = None
        self._health: Health | None = None
        self._item: pytest.Item | None = None
        self._window: Window | None = None
        self._console: Console | None = None
        self._note: str | None = None
        self._given_up = GivenUp()
        self._restarted = False
        self._judge: Judge | None = None

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
        if self._given_up.reason is not None:
            raise BoardError(self._given_up.words())
        if self._board is not None:
            return self._board
        try:
            self._record = RunRecord(self._options.evidence_root, self.board_config.name, self.summary, self._sources)
            self._board = board = Board(
                self.board_config,
                console_log=self._record.console_log,
                say=self._say,
                on_incident=self._on_incident,
                on_console_lost=self._on_console_lost,
                keep_dead=self._options.keep_dead,
                wait_s=self._options.wait_s,
            )
            board.on_expect = self._expect
            self._guard = guard = Guard(
                board.log,
                stop_test=self._stop_test,
                board_died=self._board_died,
                kernel_now=lambda: board.fences.kernel_now() if board.fences is not None else None,
            )
            self._settling = Settling(board, guard)
            self._health = Health(board, guard, self._given_up, self._say, keep_dead=self._options.keep_dead)
            self._judge = Judge(
                self._config, board, guard, self._settling, self._record, self.summary, self._options.on_incident
            )
            self._interrupter.install()
            board.open()
            self._record.write_boots(board)
        except BaseException as error:
            self._board = None
            self._interrupter.uninstall()
            if isinstance(error, HilError):
                self._given_up.reason = self._why_not_open(error)
                raise BoardError(self._given_up.words()) from None
            raise
        return board

    def _why_not_open(self, error: HilError) -> str:
        """An error, and before it what the kernel said meanwhile."""
        strays = self._guard.strays() if self._guard is not None else []
        if not strays or self._record is None:
            return str(error)
        headlines = [incident.headline(self.board_config.name) for incident in strays]
        return "\n".join(
            [*headlines, f"  while it was being opened: {error}", f"  console   {self._record.console_log}"]
        )

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
        if self._given_up.reason is not None and not self._given_up.told:
            self.summary.broken.append(self._given_up.reason.splitlines()[0])
        if self._record is not None and self._guard is not None:
            paused = self._settling is not None and self._settling.paused
            self._record.sum_up(board, self._guard, paused=paused, fail=not self._only_reports)

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
        self._make_healthy(None)
        if self._given_up.reason is not None:
            raise BoardError(self._given_up.words())
        assert self._guard is not None
        assert self._settling is not None
        self.tell_late()
        now = board.fences.kernel_now() if board.fences is not None else None
        self._window = self._guard.begin(item.nodeid, expectations(item), now[0] if now is not None else None)
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
        if self._window is not None and self._judge is not None:
            raised = self._judge.judge(item, phase, self._window, raised, self._note)
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
            if window is not None and self._guard is not None and self._judge is not None:
                fences = self._board.fences if self._board is not None else None
                now = fences.kernel_now() if fences is not None else None
                self._guard.end(window, ended_s=now[1] if now is not None else None)
                self._judge.write_evidence(window)
        if self._guard is not None and (self._guard.harm is not None or self._restarted):
            self._restarted = False
            raised = self._tear_down_all(item, raised)
            self._make_healthy(item.nodeid)
        self.tell_late()
        if raised is not None:
            raise raised
        return result

    def tell_late(self) -> None:
        """What came out when its test had ended is an extra failure of that test."""
        if self._judge is not None:
            self._judge.tell_late()

    def skips_body(self) -> bool:
        """Whether a fatal incident has come that the test expects: there is nothing left for its body to do."""
        return self._window is not None and self._guard is not None and self._guard.expected_death(self._window)

    def failure(self, item: pytest.Item, phase: str) -> str | None:
        """The failure message, if the board made this phase fail."""
        return None if self._judge is None else self._judge.failure(item.nodeid, phase)

    def _stop_for_old_news(self) -> None:
        """An incident may have come since setup was judged: then the body need not begin."""
        if self._window is None or self._guard is None:
            return
        found = self._guard.unexpected(self._window)
        if found and not self._only_reports:
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
        if board is None or (self._only_reports and not incident.fatal):
            return
        headline = incident.headline(board.name)

        def cut() -> None:
            if board.dead is None and "shell" in board.has:
                board.shell.interrupt(headline)

        self._interrupter.interrupt(incident.id, headline, cut)

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

    def _make_healthy(self, test: str | None) -> None:
        """Bring the board back, if something has harmed it; ``test`` is the one that did."""
        board, health, record = self._board, self._health, self._record
        if board is None or health is None or record is None or self._guard is None or self._guard.harm is None:
            return
        record.write_texts(test, health.restore())
        record.write_boots(board)

    # what a block of expected incidents asks for

    def _expect(self, expectation: Expectation, timeout_s: float) -> IncidentBlock:
        if self._window is None or self._guard is None:
            raise MisuseError(f"board {self.board_config.name}: expect_incident() is for tests and their fixtures")
        return IncidentBlock(expectation, timeout_s, guard=self._guard, window=self._window, keeper=self)

    def settle(self) -> None:
        """See :class:`~pytest_shepherd_hil.guard.block.Keeper`."""
        self.await_quiet()

    def answered(self, incidents: Iterable[int]) -> None:
        """See :class:`~pytest_shepherd_hil.guard.block.Keeper`."""
        self._interrupter.answered(incidents)

    def heal(self) -> None:
        """See :class:`~pytest_shepherd_hil.guard.block.Keeper`."""
        self._restarted = True
        self._make_healthy(self._window.test if self._window is not None else None)
        if self._given_up.reason is not None:
            raise BoardError(self._given_up.words())
        if self._settling is not None:
            self._settling.begin()

    # words

    @property
    def _only_reports(self) -> bool:
        return self._options.on_incident == "report"

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

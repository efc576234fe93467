"""The tests of a run that are for one board: opens it, guards each of them, brings it back, closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import BoardError, HilError, MisuseError
from pytest_shepherd_hil.guard.abort import TestAbortedError
from pytest_shepherd_hil.guard.block import IncidentBlock
from pytest_shepherd_hil.guard.verdict import only_echo
from pytest_shepherd_hil.health import GivenUp
from pytest_shepherd_hil.markers import expectations
from pytest_shepherd_hil.outcome import Failed
from pytest_shepherd_hil.report.summary import RunSummary
from pytest_shepherd_hil.timers import paused_alarm
from pytest_shepherd_hil.watched import WatchedBoard

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.guard.abort import Interrupter
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
        board: the board.
        options: what the user chose.
        interrupter: stops the test that runs; of the process, for all boards.
        say: shows a line of progress to the user.

    Attributes:
        name: the board's.
        summary: what is to be said at the end.
    """

    def __init__(
        self,
        config: pytest.Config,
        board: BoardConfig,
        options: RunOptions,
        interrupter: Interrupter,
        say: Callable[[str], None],
    ) -> None:
        self.name = board.name
        self.summary = RunSummary()
        self._config = config
        self._board_config = board
        self._options = options
        self._interrupter = interrupter
        self._say = say
        self._watched: WatchedBoard | None = None
        self._item: pytest.Item | None = None
        self._window: Window | None = None
        self._console: Console | None = None
        self._note: str | None = None
        self._given_up = GivenUp()
        self._restarted = False

    # what fixtures ask for

    def board(self) -> Board:
        """The open board; the test that runs is guarded from here on, if it was not yet.

        Raises:
            HilError: it cannot be opened, or did not come back.
        """
        if self._window is None and self._item is not None:
            self.enter(self._item)
        if self._watched is None:
            raise BoardError(f"board {self.name} is open only while a test runs")
        return self._watched.board

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
        if self._window is not None and self._watched is not None:
            self._watched.settling.settle(self._window, thorough=True)

    def note(self, text: str | None) -> None:
        """Where in the test we are, for the failure message: ``module_reload cycle 3 of 20``."""
        self._note = text

    # opening and closing

    def _open(self) -> WatchedBoard:
        if self._given_up.reason is not None:
            raise BoardError(self._given_up.words())
        if self._watched is not None:
            return self._watched
        watched: WatchedBoard | None = None
        try:
            watched = WatchedBoard(
                self._config,
                self._board_config,
                self._options,
                given_up=self._given_up,
                summary=self.summary,
                say=self._say,
                stop_test=self._stop_test,
            )
            watched.board.on_expect = self._expect
            self._interrupter.install()
            watched.open()
        except HilError as error:
            self._given_up.reason = str(error) if watched is None else watched.why_not_open(error)
            raise BoardError(self._given_up.words()) from None
        self._watched = watched
        return watched

    def close(self) -> None:
        """Close the board. Whatever ends the run, this is called; once is enough."""
        watched, self._watched = self._watched, None
        if watched is None:
            return
        try:
            watched.close()
        finally:
            if self._given_up.reason is not None and not self._given_up.told:
                self.summary.broken.append(self._given_up.reason.splitlines()[0])

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
        with paused_alarm():
            watched = self._open()
            watched.make_healthy(None)
        if self._given_up.reason is not None:
            raise BoardError(self._given_up.words())
        self.tell_late()
        board = watched.board
        now = board.fences.kernel_now() if board.fences is not None else None
        self._window = watched.guard.begin(item.nodeid, expectations(item), now[0] if now is not None else None)
        self._console = board.console() if "console" in board.has else None
        watched.settling.begin()
        if "logic" in board.has:
            board.logic.forget()

    def guarded(self, item: pytest.Item, phase: str) -> Generator[None, object, object]:
        """Let a phase run, wait until the board has said all it has to say about it, and judge."""
        __tracebackhide__ = True
        result: object = None
        raised: BaseException | None = None
        try:
            with self._interrupter.armed(once=phase == "teardown"):
                if phase == "call":
                    self._stop_for_old_news()
                result = yield
        except _PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001  also outcomes: skip and fail are no Exception
            raised = error
        if self._window is not None and self._watched is not None:
            with paused_alarm():
                raised = self._watched.judge.judge(item, phase, self._window, raised, self._note)
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
            if window is not None and self._watched is not None:
                with paused_alarm():
                    self._watched.end(window)
        if self._watched is not None and (self._watched.guard.harm is not None or self._restarted):
            self._restarted = False
            raised = self._tear_down_all(item, raised)
            with paused_alarm():
                self._watched.make_healthy(item.nodeid)
                if window is not None:
                    self._watched.judge.write_evidence(window)  # with what it said until it was restarted
        self.tell_late()
        if raised is not None:
            raise raised
        return result

    def finish(self) -> None:
        """The run ends. A test that is still running was broken off; what its board did is said all the same."""
        window, self._window, self._item = self._window, None, None
        if window is not None and self._watched is not None:
            window.broken_off = True
            self._watched.end(window)
        self.tell_late()

    def stop_for_strays(self) -> None:
        """See :meth:`~pytest_shepherd_hil.judge.Judge.stop_for_strays`."""
        if self._watched is not None and self._window is None:
            self._watched.judge.stop_for_strays()

    def tell_late(self) -> None:
        """What came out when its test had ended is an extra failure of that test."""
        if self._watched is not None:
            self._watched.judge.tell_late()

    def skips_body(self) -> bool:
        """Whether a fatal incident has come that the test expects: there is nothing left for its body to do."""
        window, watched = self._window, self._watched
        return window is not None and watched is not None and watched.guard.expected_death(window)

    def failure(self, item: pytest.Item, phase: str) -> str | None:
        """The failure message, if the board made this phase fail."""
        return None if self._watched is None else self._watched.judge.failure(item.nodeid, phase)

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

    # stopping a test

    def _stop_for_old_news(self) -> None:
        """An incident may have come since setup was judged: then the body need not begin."""
        if self._window is None or self._watched is None:
            return
        found = self._watched.guard.unexpected(self._window)
        if found and not self._only_reports:
            raise TestAbortedError(found[0].headline(self.name))

    def _stop_test(self, incident: Incident) -> None:
        """Called in the console's own thread."""
        watched = self._watched
        if watched is None or (self._only_reports and not incident.fatal):
            return
        board = watched.board
        headline = incident.headline(self.name)

        def cut() -> None:
            if board.dead is None and "shell" in board.has:
                board.shell.interrupt(headline)

        self._interrupter.interrupt((self.name, incident.id), headline, cut)

    @property
    def _only_reports(self) -> bool:
        return self._options.on_incident == "report"

    # what a block of expected incidents asks for

    def _expect(self, expectation: Expectation, timeout_s: float) -> IncidentBlock:
        if self._window is None or self._watched is None:
            raise MisuseError(f"board {self.name}: expect_incident() is for tests and their fixtures")
        return IncidentBlock(expectation, timeout_s, guard=self._watched.guard, window=self._window, keeper=self)

    def settle(self) -> None:
        """See :class:`~pytest_shepherd_hil.guard.block.Keeper`."""
        self.await_quiet()

    def answered(self, incidents: Iterable[int]) -> None:
        """See :class:`~pytest_shepherd_hil.guard.block.Keeper`."""
        self._interrupter.answered((self.name, incident) for incident in incidents)

    def heal(self) -> None:
        """See :class:`~pytest_shepherd_hil.guard.block.Keeper`."""
        self._restarted = True
        if self._watched is None:
            return
        with paused_alarm():
            self._watched.make_healthy(self._window.test if self._window is not None else None)
        if self._given_up.reason is not None:
            raise BoardError(self._given_up.words())
        self._watched.settling.begin()

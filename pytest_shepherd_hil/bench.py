"""The boards of a run, and which test is for which."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.fixtures import SESSION_FIXTURE
from pytest_shepherd_hil.guard.abort import Interrupter
from pytest_shepherd_hil.guard.termination import Termination
from pytest_shepherd_hil.outcome import Failed
from pytest_shepherd_hil.report.summary import RunSummary
from pytest_shepherd_hil.session import HilSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.settings import RunOptions

__all__ = ["Bench", "board_of"]


def board_of(item: pytest.Item) -> str | None:
    """The board that a test is made for where a run has several; None where it is made for none."""
    callspec = getattr(item, "callspec", None)
    name = callspec.params.get(SESSION_FIXTURE) if callspec is not None else None
    return name if isinstance(name, str) else None


class Bench:
    """Each board has a session of its own. With several boards each test that uses one is made once for each of them,
    and belongs to that one's session; with one board all tests belong to it.

    Args:
        config: pytest's.
        boards: all boards of the run.
        held: names of those that this process may open: an xdist worker has some of them.
        options: what the user chose.
        say: shows a line of progress to the user.

    Attributes:
        boards: all boards of the run.
        summary_of_others: what other processes have to say at the end.
        termination: makes of SIGTERM what Ctrl-C is.
    """

    def __init__(
        self,
        config: pytest.Config,
        boards: Sequence[BoardConfig],
        held: Sequence[str],
        options: RunOptions,
        say: Callable[[str], None],
    ) -> None:
        self.boards = list(boards)
        self.summary_of_others = RunSummary()
        self._interrupter = Interrupter(say)
        self.termination = Termination()
        self._say = say
        self._next_boards: dict[pytest.Item, str | None] | None = None
        self._sessions = {
            board.name: HilSession(config, board, options, self._interrupter, say)
            for board in boards
            if board.name in held
        }

    @property
    def several(self) -> bool:
        """Whether tests are made once for each board."""
        return len(self.boards) > 1

    @property
    def names(self) -> list[str]:
        """The boards' names, in the order in which they were given."""
        return [board.name for board in self.boards]

    def of(self, item: pytest.Item) -> HilSession | None:
        """The session that a test belongs to; None where it has to do with none."""
        name = board_of(item) if self.several else self.boards[0].name
        return self._sessions.get(name) if name is not None else None

    def session_for(self, item: pytest.Item) -> HilSession:
        """The session that a test which needs a board belongs to.

        Raises:
            pytest.fail.Exception: the test cannot have it.
        """
        return self.session(board_of(item))

    def session(self, name: str | None) -> HilSession:
        """The session of a board, for the fixtures of a test.

        Args:
            name: the board's; None for a test that was made for none.

        Raises:
            pytest.fail.Exception: the test cannot have it.
        """
        if name is None and self.several:
            raise Failed(
                f"this run has {len(self.boards)} boards ({', '.join(self.names)}), and this test was made for none of "
                "them, because it shows only while it runs that it needs one, or is no test function: take the fixture "
                "'board' as an argument, or @pytest.mark.usefixtures('board'), or run it with one --board",
                pytrace=False,
            )
        wanted = self.boards[0].name if name is None else name
        session = self._sessions.get(wanted)
        if session is None:
            raise Failed(
                f"board {wanted} is another xdist worker's: was this test scheduled by another plugin?", pytrace=False
            )
        return session

    def leave(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """After a test: end the fixtures of wider scope that use its board, if it was the last for it for now.

        pytest would end them in the setup of the next board's first test, whose fault it is not what happens then.
        """
        name = board_of(item)
        if name is None or nextitem is None or self._next_board(nextitem) in (name, None):
            return
        request = getattr(item, "_request", None)
        for definition in item.session._fixturemanager.getfixturedefs(SESSION_FIXTURE, item) or ():
            definition.finish(request)  # type: ignore[arg-type]  # it takes its node only

    def leave_after(
        self, error: BaseException, item: pytest.Item, nextitem: pytest.Item | None
    ) -> BaseExceptionGroup[BaseException] | None:
        """As :meth:`leave`, after a test whose fixtures could not all be ended; both errors, if this fails, too."""
        try:
            self.leave(item, nextitem)
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException as another:  # noqa: BLE001  outcomes are no Exception
            return BaseExceptionGroup("errors while tearing down fixtures", [error, another])
        return None

    def _next_board(self, item: pytest.Item) -> str | None:
        """The board of the next test that has one, from ``item`` on. Of xdist no more is known than the next test."""
        if hasattr(item.config, "workerinput"):
            return board_of(item)
        if self._next_boards is None:
            self._next_boards, name = {}, None
            for one in reversed(item.session.items):
                name = board_of(one) or name
                self._next_boards[one] = name
        return self._next_boards.get(item)

    def finish(self) -> None:
        """See :meth:`HilSession.finish`, for each board."""
        for session in self._sessions.values():
            session.finish()

    def stop_for_strays(self) -> None:
        """See :meth:`HilSession.stop_for_strays`, for each board."""
        for session in self._sessions.values():
            session.stop_for_strays()

    def tear_down_leftovers(self, session: pytest.Session) -> None:
        """After Ctrl-C: end the fixtures that are still set up, while the boards are still open."""
        try:
            session._setupstate.teardown_exact(None)
        except BaseException as error:  # noqa: BLE001  whatever a fixture raises: the run is ending anyway
            first_line = str(error).partition("\n")[0]
            self._say(f"a fixture's teardown failed: {type(error).__name__}: {first_line}")

    def close(self) -> None:
        """Close all boards. Whatever ends the run, this is called; once is enough."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.termination.uninstall)
            stack.callback(self._interrupter.uninstall)
            for session in reversed(self._sessions.values()):
                stack.callback(session.close)

    def summary(self) -> RunSummary:
        """What is to be said at the end."""
        total = RunSummary()
        for part in (*(session.summary for session in self._sessions.values()), self.summary_of_others):
            total.merge(part)
        return total

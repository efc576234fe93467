"""``with board.expect_incident(…) as inc:``: a part of a test in which something is to go wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from pytest_shepherd_hil.errors import HilError, MisuseError
from pytest_shepherd_hil.guard.verdict import ExpectedMissingError, only_echo

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.guard.expected import Expectation
    from pytest_shepherd_hil.guard.guard import Guard
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["ExpectedIncident", "IncidentBlock", "Keeper"]


class Keeper(Protocol):
    """What a block asks of the run."""

    def settle(self) -> None:
        """Wait until everything that the kernel has printed so far has come out and been judged."""

    def answered(self, incidents: Iterable[int]) -> None:
        """The test has dealt with the incidents of these ids: stop it no more for them."""

    def heal(self) -> None:
        """Bring the board back.

        Raises:
            BoardError: it does not come back.
        """


class ExpectedIncident:
    """What has come of the incidents that a block expects; filled in while it runs, complete at its end."""

    def __init__(self, guard: Guard, window: Window, expectation: Expectation) -> None:
        self._guard = guard
        self._window = window
        self._expectation = expectation

    @property
    def incidents(self) -> list[Incident]:
        """Those that came, in order."""
        return [found for found in self._guard.incidents(self._window) if found.id in self._expectation.seen]

    @property
    def incident(self) -> Incident:
        """The first that came.

        Raises:
            MisuseError: none has, so far.
        """
        found = self.incidents
        if not found:
            raise MisuseError(f"expected {self._expectation}: none has come so far; ask after the block")
        return found[0]

    def __bool__(self) -> bool:
        return bool(self._expectation.seen)


class IncidentBlock:
    """The context manager.

    A fatal incident ends the block's body at once, and the block swallows that. At its end it waits for the incident,
    where that has not come, and for the end of its report; then it brings the board back, if it died.

    Args:
        expectation: what is to come.
        timeout_s: how long it may take, from the block's beginning, in seconds.
        guard: the board's guard.
        window: of the test that runs.
        keeper: the run.
    """

    LOOK_EVERY_S = 0.02
    REPORT_END_S = 10.0
    """How long the end of a report that is being printed is waited for."""

    def __init__(
        self, expectation: Expectation, timeout_s: float, *, guard: Guard, window: Window, keeper: Keeper
    ) -> None:
        self._expectation = expectation
        self._timeout_s = timeout_s
        self._guard = guard
        self._window = window
        self._keeper = keeper
        self._deadline = 0.0

    def __enter__(self) -> ExpectedIncident:
        self._deadline = time.monotonic() + self._timeout_s
        self._keeper.settle()  # what was done before the block is not of it
        self._guard.expect(self._window, self._expectation)
        return ExpectedIncident(self._guard, self._window, self._expectation)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        board_speaks = error is None or isinstance(error, HilError) or only_echo(error)
        try:
            if board_speaks:
                self._await_incident()
        finally:
            self._guard.close(self._expectation)
        fatal = self._fatal()
        wrong = bool(self._guard.unexpected(self._window))
        if not board_speaks or (wrong and error is not None):
            return False
        if fatal:
            self._keeper.answered(self._expectation.seen)
            self._keeper.heal()
        if self._expectation.missing and not wrong:
            raise ExpectedMissingError(f"{self._expectation} did not happen within {self._timeout_s:g} s")
        return fatal

    def _await_incident(self) -> None:
        """Until all have come whole, or the time is over, or something else has gone wrong."""
        if self._expectation.missing and not self._guard.report_open(self._window):
            self._keeper.settle()
        while self._expectation.missing and not self._guard.report_open(self._window):
            if time.monotonic() >= self._deadline or self._guard.unexpected(self._window):
                break
            time.sleep(self.LOOK_EVERY_S)
        until = time.monotonic() + self.REPORT_END_S
        while self._guard.report_open(self._window) and time.monotonic() < until:
            time.sleep(self.LOOK_EVERY_S)
        if not self._fatal():
            self._keeper.settle()  # a panic may follow, or one incident too many

    def _fatal(self) -> bool:
        return any(found.fatal for found in self._guard.incidents(self._window) if found.id in self._expectation.seen)

"""Whether a board is fit for the next test; brings it back where it is not, and gives it up where that fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_shepherd_hil.aftermath import last_words
from pytest_shepherd_hil.errors import RecoveryError
from pytest_shepherd_hil.recovery import recover

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.guard.guard import Guard

__all__ = ["GivenUp", "Health"]


@dataclass(slots=True)
class GivenUp:
    """Why no test can use the board any more.

    Attributes:
        reason: in words, with details on further lines; None while there is hope.
        told: whether a test's report has said it in full.
    """

    reason: str | None = None
    told: bool = False

    def words(self) -> str:
        """The reason in full the first time, afterwards in a line."""
        assert self.reason is not None
        if self.told:
            return f"{self.reason.splitlines()[0]} (as before)"
        self.told = True
        return self.reason


class Health:
    """One board's.

    Args:
        board: the board.
        guard: knows what has harmed it.
        given_up: takes the reason, where the board does not come back.
        say: shows a line of progress to the user.
        keep_dead: leave a dead board as it died.
    """

    ATTEMPTS = 2
    """How often a board may fail while it boots."""

    def __init__(
        self, board: Board, guard: Guard, given_up: GivenUp, say: Callable[[str], None], *, keep_dead: bool
    ) -> None:
        self._board = board
        self._guard = guard
        self._given_up = given_up
        self._say = say
        self._keep_dead = keep_dead

    def restore(self) -> dict[str, str]:
        """Bring the board back, if something has harmed it; if that fails, it is given up.

        Returns:
            What the board that has come back still knows of its death: texts by file name.
        """
        found: dict[str, str] = {}
        for _ in range(self.ATTEMPTS):
            harm = self._guard.harm
            if harm is None or self._given_up.reason is not None:
                return found
            headline = harm.headline(self._board.name)
            if self._keep_dead and harm.fatal:
                self._give_up(f"board {self._board.name} is left as it died (--hil-keep-dead): {headline}")
                return found
            try:
                recover(self._board, harm, self._say, self._guard.healed)
            except RecoveryError as error:
                self._give_up(str(error))
                return found
            except BaseException:  # Ctrl-C, a time-out: it is still to be done
                self._guard.still_harmed(harm)
                raise
            if harm.fatal and "shell" in self._board.has:
                found.update(last_words(self._board.shell))
        harm = self._guard.harm
        if harm is not None:
            headline = harm.headline(self._board.name)
            self._give_up(f"board {self._board.name} fails again each time it boots: {headline}")
        return found

    def _give_up(self, reason: str) -> None:
        self._given_up.reason = reason
        self._say(reason.splitlines()[0])

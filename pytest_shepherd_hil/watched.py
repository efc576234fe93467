"""An open board and all who look after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.board import Board
from pytest_shepherd_hil.evidence.sources import CrashSources, symbol_files
from pytest_shepherd_hil.guard.guard import Guard
from pytest_shepherd_hil.guard.settle import Settling
from pytest_shepherd_hil.health import Health
from pytest_shepherd_hil.judge import Judge
from pytest_shepherd_hil.record import RunRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.console.port import PortLostError
    from pytest_shepherd_hil.errors import HilError
    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.health import GivenUp
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.report.summary import RunSummary
    from pytest_shepherd_hil.settings import RunOptions

__all__ = ["WatchedBoard"]


class WatchedBoard:
    """A board with its record, its guard, its judge and its health; made closed.

    Args:
        config: pytest's.
        board: what ``boards.toml`` says of it.
        options: what the user chose.
        given_up: takes the reason, where it does not come back.
        summary: takes what is to be said at the end.
        say: shows a line of progress to the user.
        stop_test: called, in the console's own thread, with an incident that ends the test that runs on it.

    Raises:
        HostError: the folder for its evidence cannot be made.
    """

    def __init__(
        self,
        config: pytest.Config,
        board: BoardConfig,
        options: RunOptions,
        *,
        given_up: GivenUp,
        summary: RunSummary,
        say: Callable[[str], None],
        stop_test: Callable[[Incident], None],
    ) -> None:
        self._only_reports = options.on_incident == "report"
        self.record = RunRecord(options.evidence_root, board.name, summary, CrashSources(lambda: symbol_files(board)))
        self.board = Board(
            board,
            console_log=self.record.console_log,
            say=say,
            on_incident=self._on_incident,
            on_console_lost=self._on_console_lost,
            keep_dead=options.keep_dead,
            wait_s=options.wait_s,
        )
        self.guard = Guard(
            self.board.log, stop_test=stop_test, board_died=self._board_died, kernel_now=self._kernel_now
        )
        self.board.on_restart = self.guard.restarted
        self.settling = Settling(self.board, self.guard)
        self.judge = Judge(config, self.board, self.guard, self.settling, self.record, summary, options.on_incident)
        self._health = Health(self.board, self.guard, given_up, say, keep_dead=options.keep_dead)

    def open(self) -> None:
        """Open the board.

        Raises:
            HilError: it cannot be opened. Nothing is left open then.
        """
        self.board.open()
        self.record.write_boots(self.board)

    def why_not_open(self, error: HilError) -> str:
        """Why it could not be opened, and before it what the kernel said meanwhile."""
        strays = self.guard.strays()
        if not strays:
            return str(error)
        headlines = [incident.headline(self.board.name) for incident in strays]
        return "\n".join(
            [*headlines, f"  while it was being opened: {error}", f"  console   {self.record.console_log}"]
        )

    def close(self) -> None:
        """Close the board; note what no test's report has said."""
        try:
            self.board.close()
        finally:
            self.record.sum_up(self.board, self.guard, paused=self.settling.paused, fail=not self._only_reports)

    def end(self, window: Window) -> None:
        """The window of a test ends."""
        now = self._kernel_now()
        self.guard.end(window, ended_s=now[1] if now is not None else None)
        self.judge.write_evidence(window)

    def make_healthy(self, test: str | None) -> None:
        """Bring the board back, if something has harmed it; ``test`` is the one that did."""
        if self.guard.harm is None:
            return
        self.record.write_texts(test, self._health.restore())
        self.record.write_boots(self.board)

    def _kernel_now(self) -> tuple[float, float] | None:
        return self.board.fences.kernel_now() if self.board.fences is not None else None

    # called in the console's own thread

    def _on_incident(self, incident: Incident) -> None:
        self.guard.on_incident(incident)

    def _on_console_lost(self, error: PortLostError) -> None:
        hint = "the adapter was unplugged, or its driver or server gave up"
        self.guard.add("console-lost", f"console lost: {error.what}", fatal=True, hint=hint)

    def _board_died(self, incident: Incident) -> None:
        self.board.died(incident.headline(self.board.name))

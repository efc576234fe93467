"""What a run leaves behind: the evidence of each failed test, what ran on the board, and what is said at its end."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from pytest_shepherd_hil.evidence.bundle import EvidenceRun
from pytest_shepherd_hil.guard.settle import Settling
from pytest_shepherd_hil.identity import boots_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.evidence.sources import CrashSources
    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.guard.guard import Guard
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.report.summary import RunSummary

__all__ = ["RunRecord"]

_PIN_NS = 20_000_000
"""What the pins did for so long after an incident is waited for."""
_BEFORE_NS = 15_000_000_000
"""What they did earlier before it than that is not looked at."""
_AROUND = 50
"""Lines of the console that are shown around what happened outside of tests."""


class RunRecord:
    """The record of one run on one board.

    Args:
        root: the folder that holds the runs.
        board: name of the board.
        summary: takes what is to be said at the end.
        sources: tells where in the source code a crash is.

    Raises:
        HostError: the run's folder cannot be made.
    """

    def __init__(self, root: Path, board: str, summary: RunSummary, sources: CrashSources) -> None:
        self._run = EvidenceRun(root, board, sources)
        self._summary = summary
        self._worth: set[str] = set()

    @property
    def sources(self) -> CrashSources | None:
        """Tells where in the source code a crash is."""
        return self._run.sources

    @property
    def console_log(self) -> Path:
        """Where the raw console of the whole run goes."""
        return self._run.console_log

    def mark(self, test: str) -> None:
        """The evidence of this test is worth to be kept."""
        self._worth.add(test)

    def write_test(self, board: Board, guard: Guard, window: Window) -> Path | None:
        """Write the evidence of a test as it is known now; None where it is not worth it."""
        if window.test not in self._worth:
            return None
        folder = self._run.for_test(window.test)
        calls = board.shell.calls if "shell" in board.has else []
        console = board.config.console
        incidents = guard.incidents(window)
        capture = None
        if "logic" in board.has:
            capture = board.logic.snapshot(*_span(board, incidents))
        folder.write(
            test=window.test,
            log=board.log,
            lines=board.log.lines(window.first_line, window.end_line),
            incidents=incidents,
            calls=[call for call in calls if call.started_ns >= window.started_ns],
            capture=capture,
            baudrate=console.baudrate if console is not None else 115200,
            channel=getattr(console, "logic", None),
            began_ns=window.started_ns,
        )
        self._summary.evidence[window.test] = str(folder.folder)
        return folder.folder

    def pins(self, test: str) -> tuple[str, ...]:
        """What the logic analyzer saw of a test, as far as its evidence has been written."""
        return self._run.for_test(test).pins

    def write_texts(self, test: str | None, texts: Mapping[str, str]) -> None:
        """Write more files about a test, or about the run where it is none's."""
        for name, text in texts.items():
            if test is not None and test in self._worth:
                self._run.for_test(test).write_file(name, text)
            else:
                self._run.write(name, text)

    def write_boots(self, board: Board) -> None:
        """Write what ran on the board in each of its boots so far."""
        if board.boots:
            self._run.write("board.txt", boots_text(board.name, board.boots))

    def sum_up(self, board: Board, guard: Guard, *, paused: bool, fail: bool) -> None:
        """The run is over: note what no test's report has said.

        Args:
            paused: whether tests were ended by pauses, because no fence could be written.
            fail: whether what happened outside of tests fails the run.
        """
        summary = self._summary
        strays = guard.strays()
        headlines = [incident.headline(board.name) for incident in strays]
        if fail:
            summary.strays = headlines
        else:
            summary.reported += [f"outside of any test: {headline}" for headline in headlines]
        if paused:
            summary.notes.append(
                f"board {board.name} has no shell to write a fence with: each test ended with a pause of "
                f"{Settling.SETTLE_S:g} s, and later words of it may be charged to the next"
            )
        summary.warnings = dict(Counter(incident.headline(board.name) for incident in guard.warnings()))
        if strays:
            folder = self._run.for_test("outside-of-tests")
            lines = board.log.lines(max(strays[0].first_line - _AROUND, 0), strays[-1].last_line + _AROUND)
            outside = f"(outside of tests, board {board.name})"
            folder.write(test=outside, log=board.log, lines=lines, incidents=strays, calls=(), capture=None)
            summary.evidence[outside] = str(folder.folder)
        summary.problems = self._run.problems
        if board.log.disk_error is not None:
            summary.problems.append(f"board {board.name}: the console log is incomplete: {board.log.disk_error}")


def _span(board: Board, incidents: Sequence[Incident]) -> tuple[int | None, int]:
    """Until when the pins are looked at (None: as they are now), and since when, in ``time.monotonic_ns()``."""
    ends = [board.log.lines(number, number + 1) for each in incidents for number in (each.first_line, each.last_line)]
    times_ns = [line.time_ns for lines in ends for line in lines]
    if not times_ns:
        return None, time.monotonic_ns() - _BEFORE_NS
    return max(times_ns) + _PIN_NS, min(times_ns) - _BEFORE_NS

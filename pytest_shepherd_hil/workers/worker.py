"""An xdist worker: what it tells the controller besides its tests' reports."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil.bench import board_of
from pytest_shepherd_hil.report.summary import RunSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pytest_shepherd_hil.bench import Bench

__all__ = ["CHANNEL", "END", "HELD", "TAKES_OVER", "TAKE_OVER_S", "WorkerHooks", "WorkerLine", "worker_input"]

END = "end"
"""What the controller sends where it was told to end, and not its workers."""
CHANNEL = "hil_channel"
"""Key of ``workerinput``: an execnet channel to the controller."""
HELD = "hil_boards"
"""Key of ``workerinput``: the names of the boards that the worker holds."""
TAKES_OVER = "hil_takes_over"
"""Key of ``workerinput``: whether another worker, which has died, held them before."""
TAKE_OVER_S = 30.0
"""How long the boards of a dead worker are waited for: what it has left behind may still hold their locks."""


def worker_input(config: pytest.Config) -> dict[str, Any] | None:
    """What the controller has told an xdist worker; None in any other process."""
    found: dict[str, Any] | None = getattr(config, "workerinput", None)
    return found


class WorkerLine:
    """The line to the controller. What is sent has arrived before any later event of the worker.

    Args:
        channel: of execnet.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._sent = RunSummary()

    def on_end(self, end: Callable[[], None]) -> None:
        """Have ``end`` called, in a thread of execnet's, where the controller wants the run to end now."""
        self._channel.setcallback(lambda message: end() if message == END else None)

    def say(self, text: str) -> None:
        """Show a line of progress on the controller's terminal."""
        self._send("say", text)

    def tests(self, boards: list[str | None]) -> None:
        """Tell for which board each test that was collected is, in their order."""
        self._send("tests", boards)

    def sum_up(self, summary: RunSummary) -> None:
        """Have the controller keep what is to be said at the end, as far as it is news."""
        news = summary.since(self._sent)
        if news != RunSummary():
            self._send("news", news.to_dict())
            self._sent.merge(news)

    def done(self) -> None:
        """Nothing more is to be said."""
        self._send("done", None)

    def _send(self, kind: str, what: object) -> None:
        with contextlib.suppress(OSError):  # the controller has gone; the run is ending
            self._channel.send((kind, what))


class WorkerHooks:
    """Registered in an xdist worker of a run with boards.

    Args:
        bench: the boards that the worker holds.
        line: to the controller.
    """

    def __init__(self, bench: Bench, line: WorkerLine) -> None:
        self._bench = bench
        self._line = line
        line.on_end(bench.termination.ask)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Before xdist tells which tests there are, tell for which boards."""
        self._line.tests([board_of(item) for item in session.items])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self) -> None:
        """A test is over, and xdist says so next: if the worker dies in the one after it, what is known is not lost."""
        self._line.sum_up(self._bench.summary())

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        """The boards are closed: say what is left to be said."""
        yield
        self._line.sum_up(self._bench.summary())
        self._line.done()

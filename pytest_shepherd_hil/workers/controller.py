"""xdist's controller: which worker holds which boards, and what the workers tell."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil.guard.termination import SIGTERM
from pytest_shepherd_hil.report.progress import show_progress
from pytest_shepherd_hil.report.summary import RunSummary
from pytest_shepherd_hil.workers.worker import CHANNEL, END, HELD, TAKES_OVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.bench import Bench
    from pytest_shepherd_hil.workers.node import Node
    from pytest_shepherd_hil.workers.scheduling import BoardScheduling

__all__ = ["ControllerHooks"]


class _Worker:
    """What is known of a worker. Its messages come in a thread of execnet's.

    Attributes:
        held: the boards that it holds.
        tests: for which board each test is that it has collected; empty until it has.
        summary: what it has to say at the end, as far as it has told.
        done: set when it has told all.
    """

    def __init__(self, config: pytest.Config, held: list[str], channel: Any) -> None:
        self.held = held
        self.tests: list[str | None] = []
        self.summary = RunSummary()
        self.done = threading.Event()
        self._config = config
        self._channel = channel
        self._late_told = 0
        channel.setcallback(self._on_message, endmarker=("done", None))

    def news_of_late(self) -> list[dict[str, Any]]:
        """Reports of incidents that came when their test had ended, each once."""
        news = self.summary.late[self._late_told :]
        self._late_told += len(news)
        return news

    def end(self) -> None:
        """Have it end now, as with Ctrl-C."""
        with contextlib.suppress(OSError):  # it has ended
            self._channel.send(END)

    def _on_message(self, message: tuple[str, Any]) -> None:
        kind, what = message
        if kind == "say":
            with contextlib.suppress(OSError, ValueError):  # the terminal is closed
                show_progress(self._config, what)
        elif kind == "tests":
            self.tests = what
        elif kind == "news":
            self.summary.merge(RunSummary(**what))
        elif kind == "done":
            self.done.set()


class ControllerHooks:
    """Registered where ``--board`` is given; without pytest-xdist nobody calls its hooks.

    Args:
        config: pytest's.
        bench: the boards of the run; the controller itself opens none of them.
    """

    FAREWELL_S = 5.0
    """How long workers that were told to end, too, may take to say their last words before reports are written."""

    def __init__(self, config: pytest.Config, bench: Bench) -> None:
        self._config = config
        self._bench = bench
        self._free: list[list[str]] = []
        self._left: set[str] = set()
        self._workers: dict[Node, _Worker] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[object]) -> None:
        """Share the boards out to the workers.

        Raises:
            pytest.UsageError: there are more workers than boards, or each is to run all tests.
        """
        names = self._bench.names
        if len(specs) > len(names):
            most = f"-n {len(names)} or fewer" if len(names) > 1 else "-n 1"
            boards = f"{len(names)} boards" if len(names) > 1 else "one board"
            raise pytest.UsageError(
                f"{len(specs)} xdist workers with {boards} ({', '.join(names)}): a board serves one worker; "
                f"use {most}, -n auto, which takes no more workers than there are boards, or -n 0"
            )
        if len(specs) > 1 and self._config.getoption("dist") == "each":
            raise pytest.UsageError(
                "--dist each has every worker run all tests, but a board is one worker's; leave it out: "
                "a test that uses a board runs on each --board anyway"
            )
        self._free = [names[number :: len(specs)] for number in range(len(specs))]

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Node) -> None:
        """A worker is about to start: give it boards that no other has, those of a dead one if it takes its place."""
        channel = node.gateway.newchannel()
        worker = self._workers[node] = _Worker(self._config, self._free.pop(0), channel)
        node.workerinput[HELD] = worker.held
        node.workerinput[TAKES_OVER] = not self._left.isdisjoint(worker.held)
        node.workerinput[CHANNEL] = channel

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Node) -> None:
        """A worker has ended, or has died: its boards are free."""
        worker = self._workers.pop(node, None)
        if worker is not None:  # xdist tells it twice after Ctrl-C
            self._free.append(worker.held)
            self._left.update(worker.held)
            self._take_over(worker)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Ctrl-C reaches the workers, too; SIGTERM perhaps only this process."""
        if str(excinfo.value) != SIGTERM:
            return
        show_progress(self._config, "SIGTERM: the workers end and put their boards back")
        for worker in list(self._workers.values()):
            worker.end()

    def pytest_runtest_logfinish(self) -> None:
        """A worker's test is over; it has told before what it knows of the tests before it."""
        for worker in list(self._workers.values()):
            self._tell_late(worker)

    @pytest.hookimpl(tryfirst=True, specname="pytest_sessionfinish")
    def pytest_hil_await_workers(self, exitstatus: int) -> None:
        """After Ctrl-C: what workers have still to say of tests is to be in the reports that are written now."""
        deadline = time.monotonic() + self.FAREWELL_S
        for worker in list(self._workers.values()):
            if exitstatus == pytest.ExitCode.INTERRUPTED:
                worker.done.wait(max(deadline - time.monotonic(), 0))
            self._tell_late(worker)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """The run is over, perhaps by Ctrl-C: what the last workers have told is still to be said."""
        while self._workers:
            _, worker = self._workers.popitem()
            self._take_over(worker)

    def _take_over(self, worker: _Worker) -> None:
        self._tell_late(worker)
        self._bench.summary_of_others.merge(worker.summary)

    def _tell_late(self, worker: _Worker) -> None:
        for data in worker.news_of_late():
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=data)
            self._config.hook.pytest_runtest_logreport(report=report)
        session = self._config.pluginmanager.get_plugin("session")
        scheduling: Any = self._config.pluginmanager.get_plugin("dsession")
        if session is not None and session.shouldfail and not getattr(scheduling, "shouldstop", True):
            scheduling.shouldstop = session.shouldfail  # pytest counts our reports for --maxfail, xdist does not

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> BoardScheduling | None:
        """Where there are several workers, each test goes to the one that has its board."""
        if len(self._workers) < 2:
            return None
        from pytest_shepherd_hil.workers.scheduling import BoardScheduling

        return BoardScheduling(
            config,
            numnodes=len(self._workers),
            held=lambda node: self._workers[node].held,
            tests=lambda node: self._workers[node].tests,
        )

"""Which worker gets which test, whatever the order in which workers end their tests, and die."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_shepherd_hil.workers.scheduling import BoardScheduling

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from pytest_shepherd_hil.workers.node import Gateway

END = -1


class Wire:
    def __init__(self, name: str) -> None:
        self.id = name

    def newchannel(self) -> Any:
        raise NotImplementedError


class Worker:
    """Does with what it is sent what xdist's worker does: a test begins when the next one is known, or the end."""

    def __init__(self, name: str, held: Sequence[str]) -> None:
        self.gateway: Gateway = Wire(name)
        self.workerinput: dict[str, Any] = {}
        self.held = held
        self.inbox: list[int] = []

    @property
    def shutting_down(self) -> bool:
        return END in self.inbox

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down
        self.inbox += indices

    def shutdown(self) -> None:
        if not self.shutting_down:
            self.inbox.append(END)

    @property
    def can_go_on(self) -> bool:
        return len(self.inbox) >= 2 or self.inbox == [END]


class Config:
    """What the scheduler asks of pytest's."""

    def __init__(self, dist: str) -> None:
        self.dist = dist
        self.refused: list[str] = []
        self.hook = self

    def getoption(self, name: str) -> str:
        assert name == "dist"
        return self.dist

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.refused.append(str(report.longrepr))


class Run:
    """A run as xdist's controller leads it.

    Args:
        boards: for each test the number of its board, or None.
        count: how many boards there are.
        workers: how many workers begin.
    """

    def __init__(self, boards: Sequence[int | None], count: int, workers: int, dist: str = "load") -> None:
        names = [f"b{number}" for number in range(count)]
        self.boards = [None if number is None else names[number] for number in boards]
        self.tests = [f"test_{number % 3}.py::test_{number}" for number in range(len(boards))]
        self.config = Config(dist)
        self.live = [Worker(f"gw{number}", names[number::workers]) for number in range(workers)]
        self.ran: list[tuple[int, Worker]] = []
        self.crashed: list[str] = []
        self.scheduling = BoardScheduling(
            self.config,  # type: ignore[arg-type]
            numnodes=workers,
            held=lambda node: node.held,  # type: ignore[attr-defined]
            tests=lambda _: self.boards,
        )

    def begin(self, worker: Worker, tests: Sequence[str] | None = None) -> None:
        self.scheduling.add_node(worker)
        self.scheduling.add_node_collection(worker, self.tests if tests is None else tests)
        if self.scheduling.collection_is_completed:
            self.scheduling.schedule()

    def look(self) -> None:
        """What the controller does after each event."""
        if self.scheduling.tests_finished:
            for worker in self.live:
                worker.shutdown()

    def step(self, worker: Worker, *, dies: bool) -> None:
        test = worker.inbox[0]
        if test == END:
            self.live.remove(worker)
            assert self.scheduling.remove_node(worker) is None
        elif dies:
            self.ran.append((test, worker))
            self.live.remove(worker)
            self.crashed.append(str(self.scheduling.remove_node(worker)))
            assert self.crashed[-1] == self.tests[test]
            heir = Worker(f"{worker.gateway.id}'", worker.held)
            self.live.append(heir)
            self.begin(heir)
        else:
            self.ran.append((test, worker))
            del worker.inbox[0]
            self.scheduling.mark_test_complete(worker, test)
        self.look()

    def to_the_end(self, chance: random.Random, deaths: int = 0) -> None:
        for worker in list(self.live):
            self.begin(worker)
        self.look()
        while self.live:
            ready = [worker for worker in self.live if worker.can_go_on]
            assert ready, "nobody goes on"
            dies = deaths > 0 and chance.random() < 0.2
            worker = chance.choice(ready)
            deaths -= dies and worker.inbox[0] != END
            self.step(worker, dies=dies)
        assert not self.scheduling.has_pending


@given(
    boards=st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=30),
    workers=st.integers(1, 4),
    deaths=st.integers(0, 3),
    dist=st.sampled_from(["load", "loadscope", "loadfile", "loadgroup", "worksteal"]),
    seed=st.integers(0, 1 << 32),
)
def test_each_test_runs_once_and_where_its_board_is(
    boards: list[int | None], workers: int, deaths: int, dist: str, seed: int
) -> None:
    run = Run(boards, 4, workers, dist)
    run.to_the_end(random.Random(seed), deaths)
    assert Counter(test for test, _ in run.ran) == Counter(range(len(boards)))
    for board in set(run.boards) - {None}:
        having = [(test, worker) for test, worker in run.ran if run.boards[test] == board]
        assert all(board in worker.held for _, worker in having)
        assert [test for test, _ in having] == sorted(test for test, _ in having)
    if dist == "loadfile" and not run.crashed:
        for file in range(3):
            homes = {worker for test, worker in run.ran if run.boards[test] is None and test % 3 == file}
            assert len(homes) <= 1


def test_no_worker_has_more_than_two_tests_so_that_a_run_that_ends_early_ends_soon() -> None:
    run = Run([0] * 10 + [1] * 10, 2, 2)
    for worker in run.live:
        run.begin(worker)
    assert [worker.inbox for worker in run.live] == [[0, 1], [10, 11]]


def test_a_test_may_be_run_once_more_after_a_crash() -> None:
    run = Run([0, 0, 0, 1], 2, 2)
    for worker in list(run.live):
        run.begin(worker)
    first = run.live[0]
    run.step(first, dies=True)
    assert run.crashed == [run.tests[0]]
    run.scheduling.mark_test_pending(run.crashed[0])
    chance = random.Random(1)
    while run.live:
        run.step(chance.choice([worker for worker in run.live if worker.can_go_on]), dies=False)
    assert Counter(test for test, _ in run.ran) == {0: 2, 1: 1, 2: 1, 3: 1}


def test_workers_that_collect_different_tests_run_none_and_it_is_said() -> None:
    run = Run([0, 1], 2, 2)
    run.begin(run.live[0])
    run.begin(run.live[1], [run.tests[0], "test_other.py::test_new"])
    run.look()
    (words,) = run.config.refused
    lacks = "one of them lacks test_other.py::test_new, test_1.py::test_1"
    assert words == f"workers gw1 and gw0 have collected different tests: {lacks}"
    assert [worker.inbox for worker in run.live] == [[END], [END]]


def test_a_worker_that_takes_anothers_place_with_different_tests_gets_none_and_the_rest_goes_on() -> None:
    run = Run([0, 0, 0, 1, 1], 2, 2)
    first, second = run.live
    run.begin(first)
    run.begin(second)
    run.live.remove(first)
    assert run.scheduling.remove_node(first) == run.tests[0]
    heir = Worker("gw2", first.held)
    run.live.append(heir)
    run.begin(heir, list(reversed(run.tests)))
    assert heir.inbox == [END]
    assert run.config.refused == ["workers gw2 and gw0 have collected different tests: the same ones, in another order"]
    while run.live:
        run.step(next(worker for worker in run.live if worker.can_go_on), dies=False)
    assert [test for test, _ in run.ran] == [3, 4]

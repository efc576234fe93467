"""Which xdist worker runs which test: the one that holds its board; a test without a board, any that is free."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_shepherd_hil.workers.node import Node

__all__ = ["BoardScheduling"]

_MOST_NAMED = 5


class BoardScheduling:
    """A scheduler as pytest-xdist wants one (its ``Scheduling``); asked in the controller's main thread only.

    The tests of a board are run in the order in which they were collected. Those without a board are given out in
    units that stay together: as ``--dist`` wants it, where it is ``loadscope``, ``loadfile`` or ``loadgroup``, else
    each on its own.

    Args:
        config: pytest's.
        numnodes: how many workers begin.
        held: names the boards that a worker holds.
        tests: says for which board each test is that a worker has collected.
    """

    AHEAD = 2
    """How many tests a worker has at a time: xdist's begins one when it knows the next. More would run after ``-x``."""

    def __init__(
        self,
        config: pytest.Config,
        *,
        numnodes: int,
        held: Callable[[Node], Sequence[str]],
        tests: Callable[[Node], Sequence[str | None]],
    ) -> None:
        self._config = config
        self._numnodes = numnodes
        self._held = held
        self._tests = tests
        self._unit_of = _units(config.getoption("dist"))
        self._collections: dict[Node, list[str]] = {}
        self._sent: dict[Node, deque[int]] = {}
        self._own: dict[Node, deque[int]] = {}
        self._of_board: dict[str, deque[int]] = {}
        self._boards: Sequence[str | None] = ()
        self._units: deque[deque[int]] = deque()
        self.collection: list[str] | None = None
        """The tests, once all workers have collected the same ones."""

    @property
    def nodes(self) -> list[Node]:
        """The workers that live."""
        return list(self._sent)

    @property
    def collection_is_completed(self) -> bool:
        """Whether as many workers as began have collected."""
        return len(self._collections) >= self._numnodes

    @property
    def tests_finished(self) -> bool:
        """Whether no test is left but those that workers will run when they are told that nothing follows."""
        return (
            self.collection_is_completed
            and not self._waiting()
            and all(len(sent) < self.AHEAD for sent in self._sent.values())
        )

    @property
    def has_pending(self) -> bool:
        """Whether a test has not ended yet."""
        return self._waiting() or any(self._sent.values())

    def _waiting(self) -> bool:
        return any((*self._of_board.values(), *self._own.values(), self._units))

    def add_node(self, node: Node) -> None:
        """A worker has started."""
        self._sent[node] = deque()
        self._own[node] = deque()

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """A worker has collected."""
        if self.collection is not None and list(collection) != self.collection:  # it takes a dead one's place
            self._refuse(node, collection)
            for board in self._held(node):
                self._of_board.pop(board, None)  # nobody can run them
            node.shutdown()
            return
        self._collections[node] = list(collection)

    def schedule(self) -> None:
        """All workers have collected, or one that took a dead one's place has: give them tests."""
        if self.collection is None:
            first, *others = self._collections
            wrong = [node for node in others if self._collections[node] != self._collections[first]]
            for node in wrong:
                self._refuse(node, self._collections[node])
            if wrong:
                return
            self._share_out(first)
        for node in self.nodes:
            self._feed(node)

    def _share_out(self, node: Node) -> None:
        self.collection = self._collections[node]
        self._boards = self._tests(node)
        units: dict[str, deque[int]] = {}
        for number, nodeid in enumerate(self.collection):
            board = self._boards[number]
            if board is not None:
                self._of_board.setdefault(board, deque()).append(number)
            else:
                units.setdefault(self._unit_of(nodeid), deque()).append(number)
        self._units.extend(units.values())

    def _refuse(self, node: Node, collection: Sequence[str]) -> None:
        """Say that a worker has collected other tests than the first."""
        first, tests = next(iter(self._collections.items()))
        workers = f"workers {node.gateway.id} and {first.gateway.id}"
        text = f"{workers} have collected different tests: {_difference(collection, tests)}"
        report = pytest.CollectReport(nodeid=node.gateway.id, outcome="failed", longrepr=text, result=[])
        self._config.hook.pytest_collectreport(report=report)

    def _feed(self, node: Node) -> None:
        """Give a worker what it can have; send it home where nothing is left for it."""
        if node.shutting_down or node not in self._collections:
            return
        sent = self._sent[node]
        news = []
        while len(sent) < self.AHEAD and (test := self._next_for(node)) is not None:
            sent.append(test)
            news.append(test)
        if news:
            node.send_runtest_some(news)
        if len(sent) < self.AHEAD:
            node.shutdown()  # when it has run what it has

    def _next_for(self, node: Node) -> int | None:
        boards = [self._of_board[board] for board in self._held(node) if board in self._of_board]
        for queue in (*boards, self._own[node]):
            if queue:
                return queue.popleft()
        if not self._units:
            return None
        self._own[node] = self._units.popleft()
        return self._own[node].popleft()

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:
        """A worker has run a test."""
        del duration
        self._sent[node].remove(item_index)
        self._feed(node)

    def mark_test_pending(self, item: str) -> None:
        """A test is to be run once more: another plugin wants that where its worker has died in it."""
        assert self.collection is not None
        self._put_back([self.collection.index(item)])
        for node in self.nodes:
            self._feed(node)

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """Never called: nothing is stolen from a worker."""
        raise NotImplementedError

    def remove_node(self, node: Node) -> str | None:
        """A worker has gone; returns the test in which it died, if it was in one."""
        sent = self._sent.pop(node)
        own = self._own.pop(node)
        if self.collection is None:
            self._collections.pop(node, None)  # whoever takes its place will collect
        crashed = self.collection[sent.popleft()] if sent and self.collection is not None else None
        self._put_back([*sent, *own])
        for other in self.nodes:
            self._feed(other)
        return crashed

    def _put_back(self, tests: Iterable[int]) -> None:
        """Give tests back that were a worker's; those without a board stay together."""
        unit: deque[int] = deque()
        for test in sorted(tests, reverse=True):
            board = self._boards[test]
            if board is not None:
                self._of_board.setdefault(board, deque()).appendleft(test)
            else:
                unit.appendleft(test)
        if unit:
            self._units.appendleft(unit)


def _units(dist: str) -> Callable[[str], str]:
    """Names the unit to which a test without a board belongs, from its node id."""
    if dist == "loadscope":
        return lambda nodeid: nodeid.rpartition("::")[0]
    if dist == "loadfile":
        return lambda nodeid: nodeid.partition("::")[0]
    if dist == "loadgroup":
        return lambda nodeid: nodeid.rpartition("@")[2] if "@" in nodeid.rpartition("]")[2] else nodeid
    return lambda nodeid: nodeid


def _difference(some: Sequence[str], others: Sequence[str]) -> str:
    known, known_others = set(some), set(others)
    only = [*(test for test in some if test not in known_others), *(test for test in others if test not in known)]
    if not only:
        return "the same ones, in another order"
    more = f" and {len(only) - _MOST_NAMED} more" if len(only) > _MOST_NAMED else ""
    return f"one of them lacks {', '.join(only[:_MOST_NAMED])}{more}"

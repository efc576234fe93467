"""Any number of incidents, many of them late, split or out of order, each with the test whose it is.

A kernel, a wire and a run of tests of its own: it shares no code with what it puts to the test, which is the log, the
judge and the guard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.guard.guard import Guard
from pytest_shepherd_hil.kernel.detector import Detector

if TYPE_CHECKING:
    import random

__all__ = ["Run", "outcome"]


@dataclass
class Spoken:
    """A message of the kernel.

    Attributes:
        at_s: kernel time at which it was said.
        out_s: kernel time at which it comes out: later, where the kernel kept it back or another processor was first.
        lines: its lines.
        number: of the incident; None for idle talk and fences.
    """

    at_s: float
    out_s: float
    lines: list[str]
    number: int | None = None

    @property
    def text(self) -> bytes:
        """Its bytes on the wire."""
        return "".join(f"[{self.at_s:12.6f}] {line}\r\n" for line in self.lines).encode()


@dataclass
class Run:
    """What happened: tests with their times on the kernel's clock, and all that was said.

    Attributes:
        random: makes the choices.
        guilty: for each incident's number its test.
        late: numbers of the incidents that came out when their test had ended, behind its last fence.
    """

    random: random.Random
    tests: list[tuple[str, float, float]] = field(default_factory=list)
    spoken: list[Spoken] = field(default_factory=list)
    guilty: dict[int, str] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)

    def make(self, incidents: int) -> None:
        """Let tests run one after the other until there have been so many incidents."""
        now_s = 5.0
        while len(self.guilty) < incidents:
            name = f"test_{len(self.tests)}"
            began_s = now_s
            now_s += 0.012  # no command reaches a board sooner
            due: list[int] = []
            for _ in range(self.random.choice((0, 0, 1, 1, 2, 3))):
                now_s += self.random.uniform(0.02, 0.5)
                if self.random.random() < 0.3:
                    self.spoken.append(Spoken(now_s, now_s, ["usb 1-1: new high-speed USB device"]))
                    now_s += 0.001
                due.append(self._incident(name, now_s))
            now_s += self.random.uniform(0.02, 0.2)
            fence_s = now_s
            self.spoken.append(Spoken(fence_s, fence_s, [f"hil: fence 0-{len(self.tests)}"]))
            now_s += self.random.uniform(0.005, 0.02)
            if self.random.random() < 0.3:  # the teardown does something, and no fence follows
                due.append(self._incident(name, now_s))
                now_s += self.random.uniform(0.005, 0.02)
            ended_s = now_s
            self.tests.append((name, began_s, ended_s))
            for number in due:
                if self.random.random() < 0.5:  # another processor is first, by up to nine tenths of a second
                    self.spoken[number].out_s += self.random.uniform(0.001, 0.9)
            now_s += self.random.choice((0.0, 0.0, 0.05, 3.0))
        self._keep_back()

    def _keep_back(self) -> None:
        """Some have no line end: they come out right before whatever is said next, however long that takes."""
        self.spoken.sort(key=lambda said: said.at_s)
        ends = {name: ended_s for name, _, ended_s in self.tests}
        for said, following in pairwise(self.spoken):
            if said.number is not None and said.out_s == said.at_s and self.random.random() < 0.5:
                said.out_s = following.at_s - 1e-6
        self.late = {
            said.number
            for said in self.spoken
            if said.number is not None and said.out_s > ends[self.guilty[said.number]]
        }

    def _incident(self, test: str, at_s: float) -> int:
        number = len(self.guilty)
        self.guilty[number] = test
        texts = [
            [f"shprd.k: FIFO of msg-system is full at_{number}"],
            [f"shprd.pru0: general error at_{number}"],
            [
                "------------[ cut here ]------------",
                f"WARNING: CPU: 0 PID: 7 at drivers/misc/it.c:{number + 1} it_fails_{number}+0x10/0x20 [it]",
                "Modules linked in: it(O)",
                "CPU: 0 PID: 7 Comm: sh Tainted: G           O      4.19.94-ti-r73 #1focal",
                "Hardware name: Generic AM33XX (Flattened Device Tree)",
                f"[<c0113b70>] (it_fails_{number} [it]) from [<c0113d0c>] (it_runs+0x10/0x14 [it])",
                "---[ end trace 5b3e0c1d7a9f4e21 ]---",
            ],
        ]
        self.spoken.append(Spoken(at_s, at_s, self.random.choice(texts), number))
        return len(self.spoken) - 1


def number_in(lines: tuple[str, ...]) -> int:
    """The incident's number, from what was printed of it."""
    for line in lines:
        for word in line.replace(".", " ").replace("+", " ").split():
            for begin in ("at_", "it_fails_"):
                if word.startswith(begin) and word[len(begin) :].isdigit():
                    return int(word[len(begin) :])
    raise AssertionError(lines)


def watched(run: Run) -> Guard:
    """Put it all on a wire, in the order in which it comes out and cut anywhere, while the tests begin and end."""
    log = ConsoleLog()
    guard = Guard(log, stop_test=lambda _: None, board_died=lambda _: None)
    detector = Detector()
    moments: list[tuple[float, int, str, object]] = [(said.out_s, 1, "said", said) for said in run.spoken]
    for name, began_s, ended_s in run.tests:
        moments += [(began_s, 2, "begin", name), (ended_s, 0, "end", name)]
    windows = {}
    wire = b""

    def read(count: int) -> None:
        nonlocal wire
        chunk, wire = wire[:count], wire[count:]
        for line in log.append(chunk, 1):
            for incident in detector.feed(line.line):
                guard.on_incident(incident)

    for at_s, _, what, thing in sorted(moments, key=lambda moment: moment[:2]):
        if isinstance(thing, Spoken):
            wire += thing.text
            while wire and run.random.random() < 0.9:
                read(run.random.randint(1, 400))
        else:
            read(len(wire) if run.random.random() < 0.5 else run.random.randint(0, len(wire)))
            if what == "begin":  # the clock of the host knows the kernel's only so well
                windows[thing] = guard.begin(str(thing), [], at_s - run.random.uniform(0, 0.004))
            else:
                guard.end(windows[thing], ended_s=at_s + run.random.uniform(0, 0.004))
    read(len(wire))
    for incident in detector.flush():
        guard.on_incident(incident)
    return guard


def outcome(run: Run) -> tuple[dict[int, tuple[str, str]], set[int]]:
    """Have it watched; the incidents that were charged to another test than their own, and those that were lost.

    Incidents that were charged to no test, though they have one, are lost.
    """
    guard = watched(run)
    charged = {number_in(incident.lines): window.test for window, incidents in guard.late() for incident in incidents}
    wrong = {number: (test, run.guilty[number]) for number, test in charged.items() if test != run.guilty[number]}
    return wrong, run.guilty.keys() - charged.keys()

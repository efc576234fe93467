"""Recorded logs, damaged in all ways: every way of judging them has the same answer, and it is fit to be shown."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.lines import LineSplitter, parse_line
from tests.fuzz.damage import KINDS, NOISE, Step, damaged, drawn_step
from tests.fuzz.logs import corpus_logs, recorded_logs, rule_examples
from tests.fuzz.properties import RULES, check_incident, check_log, cuts_of
from tests.requirements import require

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Incident

PROFILE = settings(
    max_examples=120,
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.log"))

pytestmark = pytest.mark.timeout(400)  # a counterexample is made small before it is shown

numbers = st.integers(0, 1 << 20)
steps = st.lists(st.builds(Step, st.sampled_from(KINDS), numbers, numbers, numbers), max_size=8)
cuts = st.lists(numbers, max_size=6)


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_fuzzing_had_found_stays_repaired(path: Path) -> None:
    data = path.read_bytes()
    check_log(data, cuts_of(data))
    for cut in range(5):
        check_log(data, [len(data) * cut // 5])


@PROFILE
@given(st.sampled_from(recorded_logs()), steps, cuts)
def test_a_damaged_log_has_one_answer(log: bytes, damage: list[Step], at: list[int]) -> None:
    check_log(damaged(log, damage), at)


@PROFILE
@given(st.binary(max_size=4000), cuts)
def test_any_bytes_have_one_answer(data: bytes, at: list[int]) -> None:
    check_log(data, at)


@st.composite
def spoiled_examples(draw: st.DrawFn) -> bytes:
    """A line that a rule finds, with something in the midst of it that a terminal would act on."""
    line, noise = draw(st.sampled_from(rule_examples())), draw(st.sampled_from((b"", *NOISE)))
    place = draw(st.integers(0, len(line)))
    return line[:place] + noise + line[place:]


@PROFILE
@given(st.lists(st.one_of(spoiled_examples(), st.binary(max_size=60)), max_size=40), steps, cuts)
def test_lines_that_rules_find_have_one_answer_in_any_order(
    lines: list[bytes], damage: list[Step], at: list[int]
) -> None:
    check_log(damaged(b"".join(lines), damage), at)


@require("shared")
@pytest.mark.parametrize("part", range(4))
def test_logs_of_the_corpus_have_one_answer_when_damaged(part: int) -> None:
    random = Random(part)
    for log in corpus_logs()[part::8]:
        data = damaged(log, [drawn_step(random) for _ in range(random.randrange(6))])
        check_log(data, cuts_of(data))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_damage_changes_a_log_and_keeps_it_bounded(kind: str) -> None:
    random = Random(kind)
    log = recorded_logs()[-1]
    made = [damaged(log, [drawn_step(random)._replace(kind=kind)] * 3) for _ in range(10)]
    assert any(data != log for data in made)


class LiveConsole(RuleBasedStateMachine):
    """A console that is watched: pieces of logs come, silence comes, the owner boots the board."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = Detector(RULES)
        self.splitter = LineSplitter()
        self.lines = 0

    @rule(log=st.sampled_from(recorded_logs()), damage=steps, part=st.tuples(numbers, st.integers(1, 4000)))
    def hears(self, log: bytes, damage: list[Step], part: tuple[int, int]) -> None:
        data = damaged(log, damage)
        start = part[0] % (len(data) + 1)
        for raw in self.splitter.feed(data[start : start + part[1]]):
            self.take(self.detector.feed(parse_line(raw, self.lines)))

    @rule()
    def is_silent(self) -> None:
        self.take(self.detector.flush(), line=0)
        assert not self.detector.pending

    @rule()
    def is_booted_by_its_owner(self) -> None:
        self.detector.new_epoch()
        assert self.detector.awaits_boot

    def take(self, found: list[Incident], line: int = 1) -> None:
        self.lines += line
        for incident in found:
            check_incident(incident, self.lines)

    @invariant()
    def only_an_open_report_settles(self) -> None:
        assert self.detector.pending or not self.detector.settling


TestLiveConsole = LiveConsole.TestCase
TestLiveConsole.settings = settings(PROFILE, max_examples=40, stateful_step_count=12)


def test_memory_stays_bounded_over_a_stream_of_damaged_logs() -> None:
    random = Random(4)
    detector, splitter, lines = Detector(RULES), LineSplitter(), 0
    sizes = []
    tracemalloc.start()
    try:
        for number in range(360):
            data = damaged(random.choice(recorded_logs()), [drawn_step(random) for _ in range(3)])
            for raw in splitter.feed(data[: 1 << 14]):
                detector.feed(parse_line(raw, lines))
                lines += 1
            if number >= 60 and number % 20 == 0:
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert lines > 20_000
    assert max(sizes) - min(sizes) < 4 << 20

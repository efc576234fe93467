"""Hundreds of incidents, many of them late, split or out of order; ``benchmarks/guard.py`` has ten thousand of them."""

from __future__ import annotations

import random

import pytest

from tests.unit.guard.generated import Run, outcome, watched


@pytest.mark.parametrize("seed", range(5))
def test_each_incident_is_its_own_tests_and_none_is_lost(seed: int) -> None:
    run = Run(random.Random(seed))
    run.make(300)
    assert outcome(run) == ({}, set())
    assert len(run.late) > len(run.guilty) / 4


def test_an_incident_of_another_test_is_seen_by_the_judge_of_the_judge() -> None:
    run = Run(random.Random(1))
    run.make(50)
    first, second = run.guilty[0], next(test for test in run.guilty.values() if test != run.guilty[0])
    run.guilty[0] = second
    assert outcome(run)[0] == {0: (first, second)}


def test_none_of_them_is_charged_to_nobody() -> None:
    run = Run(random.Random(2))
    run.make(100)
    guard = watched(run)
    charged = {incident.id for _, incidents in guard.late() for incident in incidents}
    assert {incident.id for incident in guard.strays()} == charged

"""The judge on what the virtual board's own kernel said of each real fault, and of none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_shepherd_hil.kernel.incident import Severity
from tests.unit.kernel.kernel_console import judge, last_words
from tests.virtual.faults import HILFAULT, SHEPHERD

FOLDER = Path(__file__).parents[1] / "data" / "kernel"
LOGS = sorted(FOLDER.glob("*.log"))


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_recorded_log_has_the_incident_that_stands_beside_it(log: Path) -> None:
    answer = json.loads(log.with_suffix(".json").read_text())
    incidents = [
        incident
        for incident in last_words(judge(log.read_bytes().decode("utf-8", "replace")))
        if incident.severity is Severity.FAIL
    ]
    keys = ("kind", "severity", "function", "module", "fatal")
    found = [{key: getattr(incident, key) for key in keys} for incident in incidents]
    assert found[:1] == answer["incidents"]
    assert {incident.kind for incident in incidents} == {expected["kind"] for expected in answer["incidents"]}


def test_the_library_has_a_log_for_each_fault_and_three_clean_ones() -> None:
    faults = {f"{fault.module}-{fault.name}" for fault in (*HILFAULT, *SHEPHERD)}
    assert {log.stem for log in LOGS} == faults | {"cold-boot", "reload-loop", "full-suite"}

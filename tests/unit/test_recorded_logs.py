"""The judge on what real kernels said of each real fault, and of none: the virtual board's, and other machines'."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil.kernel.incident import Severity
from tests.unit.kernel.kernel_console import judge, last_words
from tests.virtual.bare import ARCHITECTURES
from tests.virtual.faults import HILFAULT, SHEPHERD

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Incident
    from tests.virtual.bare import Architecture

FOLDER = Path(__file__).parents[1] / "data" / "kernel"
LOGS = sorted(FOLDER.glob("*.log"))
OTHERS = [log for log in LOGS if log.stem.partition("-")[0] in ARCHITECTURES]


def failures(log: Path) -> list[Incident]:
    """The incidents of a log that fail a test."""
    incidents = last_words(judge(log.read_bytes().decode("utf-8", "replace")))
    return [incident for incident in incidents if incident.severity is Severity.FAIL]


def facts(incident: Incident) -> dict[str, Any]:
    """What may be expected of an incident, by the names of an answer's keys."""
    crash = incident.crash
    return {
        "kind": incident.kind,
        "severity": incident.severity,
        "function": incident.function,
        "module": incident.module,
        "fatal": incident.fatal,
        "complete": incident.complete,
        "address": incident.address,
        "access": crash and crash.access,
        "pc": crash and crash.pc and str(crash.pc),
        "oops_number": crash and crash.oops_number,
        "panic_reason": crash and crash.panic_reason,
        "taint": crash and crash.taint,
        "secondary": incident.secondary,
        "trace": crash and [frame.function for frame in crash.frames],
    }


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_recorded_log_has_the_incident_that_stands_beside_it(log: Path) -> None:
    answer = json.loads(log.with_suffix(".json").read_text())
    incidents = failures(log)
    for incident, expected in zip(incidents, answer["incidents"], strict=False):
        parts = expected.pop("headline", [])
        found = facts(incident)
        trace = expected.get("trace", [])
        found["trace"] = [each for each in found["trace"] or [] if each in trace]
        assert {key: found[key] for key in expected} == expected
        assert [part for part in parts if part not in incident.title] == [], incident.title
    assert (len(incidents) == 0) == (answer["incidents"] == [])
    assert {incident.kind for incident in incidents} == {expected["kind"] for expected in answer["incidents"]}


def test_the_library_has_a_log_for_each_fault_and_three_clean_ones() -> None:
    faults = {f"{fault.module}-{fault.name}" for fault in (*HILFAULT, *SHEPHERD)}
    assert {log.stem for log in set(LOGS) - set(OTHERS)} == faults | {"cold-boot", "reload-loop", "full-suite"}


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=lambda architecture: architecture.name)
def test_the_library_of_another_machine_has_a_log_for_each_fault_that_it_can_have(architecture: Architecture) -> None:
    logs = {log.stem.removeprefix(f"{architecture.name}-") for log in OTHERS if log.stem.startswith(architecture.name)}
    assert logs == {*architecture.faults, "cold-boot"}


@pytest.mark.parametrize("name", ["atomic-sleep", "hung-task", "oom", "page-alloc-failure"])
def test_registers_and_code_of_the_process_that_called_are_not_taken_for_the_kernels(name: str) -> None:
    """x86 ends each trace of a system call with them; these reports show none of the kernel's own."""
    log = FOLDER / f"amd64-hilfault-{name}.log"
    assert "RIP: 0033:" in log.read_text()
    crash = failures(log)[0].crash
    assert crash is not None
    assert (crash.code, crash.registers, crash.pc) == (None, (), None)

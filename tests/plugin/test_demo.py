"""``make demo``: shows the main job, and would say so if it did not work."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from examples import demo

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
INCIDENT = {"severity": "fail", "kind": "pru-timeout", "function": None, "module": None}
FAULT = next(fault for fault in demo.FAULTS if fault.board == "sim-pru")


@pytest.mark.timeout(300)
def test_demo_shows_what_it_should() -> None:
    done = subprocess.run(
        [sys.executable, "examples/demo.py"], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "=== All as it should be" in done.stdout
    for fault in demo.FAULTS:
        assert fault.headline in done.stdout


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Makes the run of a suite leave evidence that is as the arguments say."""

    def make(*, status: int = 1, without: str = "", folders: int = 1, **changes: object) -> Path:
        def run(board: str, evidence: Path) -> subprocess.CompletedProcess[bytes]:
            for number in range(folders):
                folder = evidence / f"20260101T000000Z-{board}-1" / f"test-{number}"
                folder.mkdir(parents=True)
                for name in demo.FILES:
                    (folder / name).write_text("something")
                incident = {**INCIDENT, "headline": "PRU did not answer (board sim-pru)", **changes}
                (folder / "incident.json").write_text(json.dumps({"incidents": [incident]}))
                if without:
                    (folder / without).unlink()
            return subprocess.CompletedProcess([], status)

        monkeypatch.setattr(demo, "run", run)
        return tmp_path

    return make


def test_right_evidence_satisfies_the_demo(evidence: Callable[..., Path]) -> None:
    assert demo.check(FAULT, evidence()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 0},
        {"status": 2},
        {"folders": 0},
        {"kind": "oops"},
        {"function": "another"},
        {"module": "another"},
        {"severity": "warn"},
        {"headline": "something else"},
        *({"without": name} for name in demo.FILES),
    ],
    ids=str,
)
def test_wrong_evidence_does_not(evidence: Callable[..., Path], wrong: dict[str, object]) -> None:
    assert demo.check(FAULT, evidence(**wrong))


def test_missing_capture_or_test_does_not(evidence: Callable[..., Path]) -> None:
    assert demo.check(replace(FAULT, capture_in="test-0"), evidence()) == [
        "test-0: capture.sr is missing or empty",
        "test-0: capture.svg is missing or empty",
    ]

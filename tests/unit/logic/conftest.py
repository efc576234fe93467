"""What several tests of captures use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.logic import LogicAnalyzer
from tests.unit.logic.probe import CONFIG, Probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[Probe]:
    probe = Probe(tmp_path / "probe")
    yield probe
    probe.close()


@pytest.fixture
def logic(probe: Probe) -> Iterator[LogicAnalyzer]:
    logic = LogicAnalyzer(CONFIG, "sim01", probe.connect, patience_s=0.5)
    yield logic
    logic.close()

"""Fuzzing guided by coverage, for a short time; ``make fuzz`` does it for longer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import require

SECONDS = int(os.environ.get("FUZZ_SECONDS", "20"))
ROOT = Path(__file__).parents[2]


@require("atheris")
@pytest.mark.timeout(SECONDS + 280)
def test_the_judge_stands_what_is_made_to_reach_all_of_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz.target", "--seconds", str(SECONDS), "--folder", str(tmp_path)]
    seed = ["--seed", "1"] if "CI" in os.environ else []
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, *seed], cwd=ROOT, env=env, capture_output=True, timeout=SECONDS + 240, check=False, text=True
    )
    found = [path.read_bytes() for path in (tmp_path / "found").iterdir()]
    assert done.returncode == 0, f"{done.stderr[-6000:]}\nsave as tests/fuzz/regressions/NAME.log: {found!r}"
    assert found == []
    runs = re.search(r"^Done (\d+) runs", done.stderr, re.MULTILINE)
    assert runs is not None
    assert int(runs[1]) >= len(list((tmp_path / "seeds").iterdir())), "not even all seeds were judged"
    reached = [int(count) for count in re.findall(r" cov: (\d+) ", done.stderr)]
    assert max(reached) > 500, "the judge is not instrumented"

"""What the tests of the commands share."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.unit.commands.scan_process import COMMAND, ENVIRONMENT, TIMEOUT_S, Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def scan(tmp_path: Path) -> Callable[..., Result]:
    """Run it in a folder of its own."""

    def run(*arguments: str, stdin: bytes = b"", **environment: str) -> Result:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**ENVIRONMENT, **environment},
        )
        return Result(done)

    return run

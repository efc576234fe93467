"""shepherd-hil scan as a process of its own, and what it came to."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

__all__ = ["COMMAND", "ENVIRONMENT", "TIMEOUT_S", "Result"]

TIMEOUT_S = 60
COMMAND = [sys.executable, "-P", "-m", "pytest_shepherd_hil.cli", "scan"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


class Result:
    """What a run of the command came to."""

    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.status = done.returncode
        self.raw = done.stdout
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()

    @property
    def incidents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

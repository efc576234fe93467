"""Runs pytest on small suites, each in a process of its own, as a user would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

BOARDS = Path(__file__).parents[1] / "boards.toml"

BETWEEN = """
import pytest, time
@pytest.fixture(autouse=True)
def remember(board):
    global BOARD
    BOARD = board
def pytest_runtest_logfinish(nodeid):
    if "BOARD" in globals() and nodeid.endswith("{after}"):
{do}
"""


@dataclass
class Suite:
    """A folder with tests, and what came of running them."""

    pytester: pytest.Pytester

    def boards(self, text: str | None = None) -> None:
        """Write boards.toml: the repository's own, or ``text``."""
        path = self.pytester.path / "boards.toml"
        path.write_text(BOARDS.read_text() if text is None else text)

    def write(self, source: str, then: str = "") -> None:
        """Write a test file with these contents, and those of ``then``."""
        self.pytester.makepyfile(test_it=f"{dedent(source)}\n{dedent(then)}")

    def between_tests(self, do: str, *, after: str = "") -> None:
        """Have ``do`` done after each test, or the one so named, with the ``BOARD`` that a test has used."""
        self.pytester.makeconftest(BETWEEN.format(after=after, do=indent(dedent(do).strip(), " " * 8)))

    def run(self, source: str, *options: str, then: str = "", board: str | None = "sim01") -> pytest.RunResult:
        """Run a test file with these contents, and those of ``then``, on a board."""
        self.write(source, then)
        return self.again(*options, board=board)

    def again(self, *options: str, board: str | None = "sim01", timeout_s: float = 200) -> pytest.RunResult:
        """Run pytest in the suite's folder on a board."""
        chosen = ["--board", board] if board is not None else []
        # hypothesis, which only our own tests need, takes a second to import
        lean = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return self.pytester.runpytest_subprocess(*lean, *chosen, *options, timeout=timeout_s)

    @property
    def evidence(self) -> dict[str, Path]:
        """The folders of failed tests in the only run so far, by the test's own name."""
        (run,) = (self.pytester.path / "hil-evidence").iterdir()
        found = {}
        for folder in run.iterdir():
            if folder.is_dir():
                test = json.loads((folder / "incident.json").read_text())["test"]
                found[test.rpartition("::")[2]] = folder
        return found

    def incidents(self, test: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads((self.evidence[test] / "incident.json").read_text())["incidents"]
        return found

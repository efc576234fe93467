"""Runs pytest on small suites, each in a process of its own, as a user would."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil.sim.process import SimProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

BOARDS = Path(__file__).parents[2] / "boards.toml"


@dataclass
class Suite:
    """A folder with tests, and what came of running them."""

    pytester: pytest.Pytester

    def boards(self, text: str | None = None) -> None:
        """Write boards.toml: the repository's own, or ``text``."""
        path = self.pytester.path / "boards.toml"
        path.write_text(BOARDS.read_text() if text is None else text)

    def run(self, source: str, *options: str, then: str = "", board: str | None = "sim01") -> pytest.RunResult:
        """Run a test file with these contents, and those of ``then``, on a board."""
        self.pytester.makepyfile(test_it=f"{dedent(source)}\n{dedent(then)}")
        return self.again(*options, board=board)

    def again(self, *options: str, board: str | None = "sim01") -> pytest.RunResult:
        chosen = ["--board", board] if board is not None else []
        # hypothesis, which only our own tests need, takes a second to import
        lean = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
        return self.pytester.runpytest_subprocess(*lean, *chosen, *options, timeout=60)

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


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Suite:
    pytester.makeini("[pytest]\naddopts = --strict-markers")
    made = Suite(pytester)
    made.boards()
    return made


@pytest.fixture
def bench(suite: Suite) -> Iterator[SimProcess]:
    """An embedded board that pytest knows only as a real one: a serial port, an SSH address, a power command."""
    with SimProcess.start() as sim:
        suite.boards(bench_toml(sim))
        yield sim


def bench_toml(sim: SimProcess, *, port: str | None = None, port_number: int | None = None, **keys: object) -> str:
    """``boards.toml`` for a board called ``bench`` that reaches ``sim`` as one reaches hardware.

    Args:
        port: another console port than the sim's.
        port_number: another TCP port for SSH than the sim's.
        keys: other values for the ssh table's keys.
    """
    table = {
        "host": sim.ssh.host,
        "port": port_number or sim.ssh.port,
        "user": sim.ssh.user,
        "key": sim.ssh.key,
        "known_hosts": sim.ssh.known_hosts,
        "sudo": True,
        "connect_timeout_s": 2,
        **keys,
    }
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in table.items())
    code = (
        f"from pytest_shepherd_hil.sim.control import SimControl; SimControl({str(sim.control.path)!r}).power_cycle()"
    )
    return f"""
[boards.bench]
boot_timeout_s = 15
[boards.bench.ssh]
{lines}
[boards.bench.console]
port = {json.dumps(port or sim.uart)}
[boards.bench.module]
name = "shepherd"
[boards.bench.power]
cycle = {json.dumps(f'{sys.executable} -c "{code}"')}
"""

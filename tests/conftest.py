"""What the tests need: checked for each, and said once at the end where it is missing; and a suite for them to run."""

from __future__ import annotations

import pytest

from tests.requirements import REQUIREMENTS
from tests.suite import Suite


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires(name): needs a tool or data that may be absent: tests/requirements.py")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("requires"):
        requirement = REQUIREMENTS[mark.args[0]]
        if requirement.present:
            continue
        if requirement.demanded:
            pytest.fail(f"{requirement.reason} (HIL_REQUIRE demands it)", pytrace=False)
        pytest.skip(requirement.reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = " ".join(str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    missing = [requirement for requirement in REQUIREMENTS.values() if requirement.reason in skipped]
    packages = sorted({package for requirement in missing for package in requirement.packages})
    if packages:
        command = f"sudo apt-get install {' '.join(packages)}"
        terminalreporter.write_line(f"To run the skipped tests as well: {command}", yellow=True)


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Suite:
    """A folder for tests, with the repository's own boards."""
    pytester.makeini("[pytest]\naddopts = --strict-markers")
    made = Suite(pytester)
    made.boards()
    return made

"""What the tests need: checked for each, and said once at the end where it is missing."""

from __future__ import annotations

import pytest

from tests.requirements import REQUIREMENTS

_missing: set[str] = set()


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
        _missing.add(requirement.name)
        pytest.skip(requirement.reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    packages = sorted({package for name in _missing for package in REQUIREMENTS[name].packages})
    if packages:
        command = f"sudo apt-get install {' '.join(packages)}"
        terminalreporter.write_line(f"To run the skipped tests as well: {command}", yellow=True)

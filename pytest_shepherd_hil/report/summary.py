"""The last words of a run: incidents outside of tests, and where the evidence lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.report.failure import short_path
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    import pytest

    from pytest_shepherd_hil.session import HilSession

__all__ = ["write_summary"]


def write_summary(reporter: pytest.TerminalReporter, session: HilSession) -> None:
    """Write the section ``hil`` of the terminal summary, where there is something to say."""
    evidence = session.evidence
    problems = evidence.problems if evidence is not None else []
    if not (session.strays or session.failed_tests or session.warnings or problems):
        return
    reporter.section("hil")
    for headline in session.strays:
        reporter.write_line(f"outside of any test: {printable(headline)}", red=True)
    for title, count in session.warnings.items():
        reporter.write_line(f"warning, {count} times: {printable(title)}", yellow=True)
    for problem in problems:
        reporter.write_line(printable(problem), yellow=True)
    if session.failed_tests:
        reporter.write_line("evidence:")
        for test, folder in session.failed_tests.items():
            reporter.write_line(f"  {printable(test)}")
            reporter.write_line(f"    {short_path(folder)}")

"""An extra failure of a test that has ended already, for what the board still had to say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["LATE", "late_report"]

LATE = "late words of the board"


def late_report(
    window: Window, location: tuple[str, int | None, str], message: str, incidents: Sequence[Incident]
) -> pytest.TestReport:
    """The report; it names the test, so that ``--last-failed`` finds it.

    Args:
        window: the test's.
        location: the test's, as pytest gives it.
        message: the failure message.
        incidents: those that came late.
    """
    path, line, domain = location
    how = "was broken off" if window.broken_off else "had ended"
    came = f"charged to {window.test}, which {how} when {'it' if len(incidents) == 1 else 'they'} came out"
    return pytest.TestReport(
        nodeid=window.test,
        location=(path, line, f"{domain} ({LATE})"),
        keywords={},
        outcome="failed",
        longrepr=f"{message}\n  late      {came}",
        when="call",
    )

"""What an exception and an incident together say about a phase of a test. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardDeadError, CommandCutError, HilError
from pytest_shepherd_hil.guard.abort import TestAbortedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["excused", "missing", "only_echo"]


def only_echo(error: BaseException) -> bool:
    """Whether an exception says no more than that the board has failed: ours that wakes a test, or a dead board's."""
    if isinstance(error, BaseExceptionGroup):
        return all(only_echo(part) for part in error.exceptions)
    return isinstance(error, (TestAbortedError, BoardDeadError, CommandCutError))


def missing(window: Window, raised: BaseException | None) -> list[str]:
    """The expected incidents that have not come, in words; none where the test has failed for a reason of its own.

    Args:
        raised: what the test's body raised.
    """
    if raised is not None and not only_echo(raised):
        return []
    return [
        f"{expectation} ({len(expectation.seen)} came)" if expectation.seen else str(expectation)
        for expectation in window.expectations
        if expectation.missing
    ]


def excused(window: Window, incidents: Sequence[Incident], error: BaseException) -> bool:
    """Whether an exception is only the death of the board making itself felt: it was expected, or is charged already.

    Args:
        incidents: those of the window.
    """
    for incident in incidents:
        expected = incident.id in window.expected
        if incident.fatal and expected and isinstance(error, HilError):
            return True
        if incident.fatal and (expected or incident.id in window.judged) and only_echo(error):
            return True
    return False

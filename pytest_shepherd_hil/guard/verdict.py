"""What an exception and an incident together say about a phase of a test. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import BoardDeadError, CommandCutError, HilError
from pytest_shepherd_hil.guard.abort import TestAbortedError
from pytest_shepherd_hil.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.guard.attribution import Window
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["ExpectedMissingError", "excused", "missing", "only_echo"]


class ExpectedMissingError(Failed):
    """Ends a block whose incident has not come. The verdict is the guard's own record."""

    def __init__(self, what: str) -> None:
        super().__init__(what, pytrace=False)


def only_echo(error: BaseException) -> bool:
    """Whether an exception says no more than that the board has failed: ours that wakes a test, or a dead board's."""
    if isinstance(error, BaseExceptionGroup):
        return all(only_echo(part) for part in error.exceptions)
    return isinstance(error, (TestAbortedError, BoardDeadError, CommandCutError, ExpectedMissingError))


def missing(window: Window, raised: BaseException | None, *, final: bool) -> list[str]:
    """The expected incidents that have not come, in words; none where the test has failed for a reason of its own.

    Each is named once.

    Args:
        raised: what the phase raised.
        final: nothing more can come: the test's body has ended. Before that only blocks that have ended count.
    """
    due = [one for one in window.expectations if one.missing and not one.told and (final or one.closed)]
    for one in due:
        one.told = True
    if raised is not None and not only_echo(raised):
        return []
    return [
        f"{expectation} ({len(expectation.seen)} came)" if expectation.seen else str(expectation) for expectation in due
    ]


def excused(window: Window, incidents: Sequence[Incident], error: BaseException) -> bool:
    """Whether an exception is only the death of the board making itself felt: it was expected, or is charged already.

    Args:
        incidents: those of the window.
    """
    for incident in incidents:
        if incident.id in window.healed:
            continue
        expected = incident.id in window.expected
        if incident.fatal and expected and isinstance(error, HilError):
            return True
        if incident.fatal and (expected or incident.id in window.judged) and only_echo(error):
            return True
    return False

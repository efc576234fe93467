"""Which test an incident belongs to. Pure: windows and line numbers in, a window out."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.guard.expected import Expectation

__all__ = ["Window", "owner"]


@dataclass(slots=True)
class Window:
    """The part of a console log in which one test ran.

    It begins at the log's end when the test began and ends behind the test's end fence.
    """

    test: str
    """Node id."""
    first_line: int
    started_ns: int
    """Host time (monotonic ns) at which it began."""
    end_line: int | None = None
    """Number of the first line that is no longer part of it; None while the test runs."""
    incidents: set[int] = field(default_factory=set)
    """Ids of the incidents in it."""
    judged: set[int] = field(default_factory=set)
    """Ids of those that some phase's verdict has named already."""
    healed: set[int] = field(default_factory=set)
    """Ids of those that the board has been brought back from while the test went on."""
    expectations: list[Expectation] = field(default_factory=list)

    @property
    def expected(self) -> set[int]:
        """Ids of the incidents that one of the expectations has taken."""
        return {number for expectation in self.expectations for number in expectation.seen}


def owner(windows: Sequence[Window], line: int) -> Window | None:
    """The window in which console line ``line`` was printed; None between tests.

    Args:
        windows: in the order of their first lines.
    """
    at = bisect_right(windows, line, key=lambda window: window.first_line) - 1
    # of several windows that begin at one line only the last can have lines
    if at < 0:
        return None
    window = windows[at]
    return window if window.end_line is None or line < window.end_line else None

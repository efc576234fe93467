"""Which test an incident belongs to. Pure: windows, line numbers and kernel times in, a window out."""

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
    began_s: float | None = None
    """Kernel time before which nothing is of this test, seconds since boot; None where it is not known."""
    ended_s: float | None = None
    """Kernel time from which on nothing is of this test any more; None where it is not known, or the test runs."""
    over_line: int | None = None
    """Number of the first line that came when its test had ended, where ``end_line`` was moved behind what a board that
    it had harmed still said until it was restarted."""
    broken_off: bool = False
    """Whether Ctrl-C ended the test."""
    boot: int = 0
    """In which boot of the board it began: kernel times of two boots cannot be compared."""
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


def owner(windows: Sequence[Window], line: int, time_s: float | None = None, boot: int = 0) -> Window | None:
    """The window in which something was said; None between tests.

    The console's line decides, unless kernel time says that it was said before that line's test began: a kernel keeps
    words back, and they come out when a later test makes it talk.

    Args:
        windows: in the order of their first lines.
        line: number of the console line.
        time_s: kernel time, where it is known and can be trusted.
        boot: of the kernel time.
    """
    at = bisect_right(windows, line, key=lambda window: window.first_line) - 1
    # of several windows that begin at one line only the last can have lines
    by_line = at
    while at >= 0 and time_s is not None and windows[at].boot == boot:
        began_s = windows[at].began_s
        if began_s is None or time_s >= began_s:
            break
        at -= 1
    if at < 0:
        return None
    window = windows[at]
    late = at < by_line or (window.end_line is not None and line >= window.end_line)
    if not late:
        return window
    in_its_time = time_s is not None and window.boot == boot and window.ended_s is not None and time_s < window.ended_s
    return window if in_its_time else None

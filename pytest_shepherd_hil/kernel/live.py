"""The judge of a console that is read while it talks: a flood of healthy lines is passed over as one."""

from __future__ import annotations

from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.lines import split_prefix
from pytest_shepherd_hil.kernel.prefilter import Prefilter
from pytest_shepherd_hil.kernel.rules import Rules, load_rules

__all__ = ["LiveDetector"]

_FIRST_WORDS = ("cut here", "pgd")
"""What stands before a report, and is part of it."""
_PREFIX_BYTES = 64


class LiveDetector(Detector):
    """Line by line as its parent; beside that, whole lines at once, where nothing can be in them."""

    def __init__(self, rules: Rules | None = None) -> None:
        rules = load_rules() if rules is None else rules
        super().__init__(rules)
        self._prefilter = Prefilter.of(rules, *_FIRST_WORDS)

    def pass_over(self, data: bytes) -> bool:
        """Take note of whole lines of which none is news; False where they must be fed, each for itself.

        They are none where no rule's text is in them, no report is open, and kernel time goes on from the first of them
        to the last.
        """
        newest = self._timeline.newest
        if not self._calm or self.pending or newest is None:
            return False
        first_s = _time_s(data, 0)
        last_s = _time_s(data, data.rfind(b"\n", 0, len(data) - 1) + 1)
        if first_s is None or last_s is None or not newest <= first_s <= last_s <= newest + 1.0:
            return False
        if self._prefilter.candidates(data) != []:
            return False
        self._preamble.clear()
        self._timeline.newest = last_s
        return True


def _time_s(data: bytes, begin: int) -> float | None:
    """The kernel time of the line that begins here; None where it does not begin with one."""
    return split_prefix(data[begin : begin + _PREFIX_BYTES].decode("utf-8", "replace"))[0]

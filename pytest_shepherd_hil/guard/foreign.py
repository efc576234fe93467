"""Whether a report is one of another boot, shown again: the kernel's clock has not come so far yet. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.lines import split_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["is_of_another_boot"]

_SLACK_S = 2.0
_DRIFT = 0.01
"""By how much of its time a kernel's clock may be faster than the host's."""
_ENOUGH = 3


def is_of_another_boot(incident: Incident, before: Sequence[float], now_s: float) -> bool:
    """Whether its lines, and those right before it, are all of a time that this boot has not reached.

    A single line with such a time is no proof: bytes get damaged, and no crash is to be missed for that.

    Args:
        incident: as it is now.
        before: kernel times of the lines before it, the newest last.
        now_s: the kernel's time now, at the latest.
    """
    own = [time_s for text in incident.lines if (time_s := split_prefix(text)[0]) is not None]
    if incident.kernel_time_s is not None and not own:
        own = [incident.kernel_time_s]
    latest_s = now_s * (1 + _DRIFT) + _SLACK_S
    times = [*before[-_ENOUGH:], *own] if len(own) < _ENOUGH else own
    return len(times) >= _ENOUGH and min(times) > latest_s

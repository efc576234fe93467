"""Incidents of one line: all that the kernel says about them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.incident import Incident
from pytest_shepherd_hil.kernel.report import normalised
from pytest_shepherd_hil.kernel.rows import MAX_LINE_CHARS

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.lines import Line
    from pytest_shepherd_hil.kernel.rules import Hit

__all__ = ["number_of", "single_incident"]


def number_of(hit: Hit, group: str) -> int | None:
    """The number that a group of the pattern found; None where there is none."""
    text = hit.match.groupdict().get(group) or ""
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None


def single_incident(number: int, line: Line, hit: Hit, *, fatal: bool = False, hints: tuple[str, ...] = ()) -> Incident:
    """The incident that a line is; ``number`` is its id."""
    title = hit.render(hit.rule.title)
    return Incident(
        id=number,
        rule=hit.rule.id,
        kind=hit.rule.kind,
        severity=hit.rule.severity,
        title=title,
        signature=f"{hit.rule.kind} {normalised(title)}",
        first_line=line.number,
        last_line=line.number,
        kernel_time_s=line.kernel_time_s,
        open=False,
        complete=True,
        fatal=fatal,
        hints=hints,
        lines=(line.text[:MAX_LINE_CHARS],),
    )

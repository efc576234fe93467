"""The failure message: what a person reads first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_shepherd_hil.evidence.text import incident_text, pins_text
from pytest_shepherd_hil.outcome import Failed
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_shepherd_hil.evidence.sources import CrashSources
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["BoardIncidentError", "NotAtFaultError", "failure_message", "short_path"]

_MOST_INCIDENTS = 5


class BoardIncidentError(Failed):
    """Fails a test, or a phase of it, for what its board did."""

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


class NotAtFaultError(Failed):
    """A test could not go on because its board died of something else."""

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


def failure_message(
    board: str,
    incidents: Sequence[Incident],
    *,
    note: str | None,
    folder: Path | None,
    own_error: BaseException | None,
    missing: Sequence[str] = (),
    sources: CrashSources | None = None,
    pins: Sequence[str] = (),
) -> str:
    """What is said of a test that failed for its board.

    The first line is the first incident's headline.

    Args:
        board: its name.
        incidents: at least one, unless something is ``missing``.
        note: where in the test it happened, if that says more than the phase does.
        folder: where the evidence lies.
        own_error: what the test itself raised besides.
        missing: expected incidents that did not come, in words.
        sources: what symbols say of crashes.
        pins: what the logic analyzer saw, in words.
    """
    lines: list[str] = []
    for number, incident in enumerate(incidents[:_MOST_INCIDENTS]):
        lines.append(printable(incident.headline(board)))
        if number == 0 and note:
            lines.append(f"  where     {note}")
        lines += incident_text(incident, source=sources.of(incident) if sources is not None else None)
    if len(incidents) > _MOST_INCIDENTS:
        lines.append(f"and {len(incidents) - _MOST_INCIDENTS} more incidents: incident.txt")
    lines += [f"expected on board {board}, but did not happen: {text}" for text in missing]
    if own_error is not None:
        text = str(own_error).strip().splitlines() or [""]
        lines.append(f"  besides   the test raised {type(own_error).__name__}: {printable(text[0], 300)}")
    lines += pins_text(pins)
    if folder is not None:
        lines.append(f"  evidence  {short_path(folder)}{os.sep}")
    return "\n".join(lines)


def short_path(path: Path) -> str:
    """A path as seen from the current folder, where that is shorter."""
    try:
        relative = os.path.relpath(path)
    except OSError:  # the current folder is gone
        return str(path)
    return relative if not relative.startswith("..") else str(path)

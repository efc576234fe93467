"""What a check has found."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Finding", "Mark", "in_one_line", "not_checked", "ok", "problem", "warning"]


class Mark(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    NOT_CHECKED = "not checked"


@dataclass(slots=True, frozen=True)
class Finding:
    """What a check has found.

    Attributes:
        mark: how bad it is.
        says: what was found; where nothing was checked, why not. A board may have a hand in it: not safe to print.
        advice: what to do about it; empty where there is nothing to do.
    """

    mark: Mark
    says: str
    advice: str = ""


def ok(says: str) -> Finding:
    """As it should be."""
    return Finding(Mark.OK, says)


def warning(says: str, advice: str) -> Finding:
    """Tests can run, but something will be missed or may go wrong."""
    return Finding(Mark.WARNING, says, advice)


def problem(says: str, advice: str) -> Finding:
    """Tests cannot run, or would not see what the board says."""
    return Finding(Mark.PROBLEM, says, advice)


def not_checked(why: str) -> Finding:
    """Nothing is known of it."""
    return Finding(Mark.NOT_CHECKED, why)


def in_one_line(error: BaseException, board: str) -> str:
    """An error's message in one line, without the board's name, which stands above it anyway."""
    lines = [line.strip(" |") for line in str(error).splitlines()]
    text = "; ".join(filter(None, lines)) or type(error).__name__
    return text.removeprefix(f"board {board}: ")

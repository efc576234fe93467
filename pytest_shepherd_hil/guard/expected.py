"""What a test says will go wrong."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.kinds import KINDS

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["Expectation", "expectation", "text_or_none"]


@dataclass(slots=True)
class Expectation:
    """Incidents that must come, as many as ``count``.

    Attributes:
        kind: the incident's kind; ``panic`` stands for any fatal incident.
        function: name of the guilty function, where it matters.
        match: regular expression to be found in the headline, where it matters.
        count: how many must come; one more is one too many.
        since_line: number of the console's line from which on they count.
        closed: no more of them are taken.
    """

    kind: str
    function: str | None = None
    match: str | None = None
    count: int = 1
    seen: set[int] = field(default_factory=set)
    """Ids of the incidents that have come."""
    since_line: int = 0
    closed: bool = False
    told: bool = False
    """Whether a verdict has said that they are missing."""

    def takes(self, incident: Incident) -> bool:
        """Whether this incident is one of the expected; takes note of it if so."""
        if incident.id in self.seen:
            return True
        if self.closed or incident.first_line < self.since_line:
            return False
        if len(self.seen) >= self.count or not self._fits(incident):
            return False
        self.seen.add(incident.id)
        return True

    def _fits(self, incident: Incident) -> bool:
        if self.kind != incident.kind and not (self.kind == "panic" and incident.fatal):
            return False
        if self.function is not None and self.function != incident.function:
            return False
        return self.match is None or re.search(self.match, incident.title) is not None

    @property
    def vagueness(self) -> int:
        """How little it asks of an incident."""
        return [self.function, self.match].count(None) + (self.kind == "panic")

    @property
    def missing(self) -> int:
        return self.count - len(self.seen)

    def __str__(self) -> str:
        words = [f"{self.count} of {self.kind}"]
        if self.function is not None:
            words.append(f"in {self.function}")
        if self.match is not None:
            words.append(f"matching {self.match!r}")
        return " ".join(words)


def expectation(kind: object, function: object = None, match: object = None, count: object = 1) -> Expectation:
    """An expectation as a test writes it.

    Raises:
        ValueError: an argument is none that can be.
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(KINDS)}"
        raise ValueError(f"unknown kind {kind!r}; {hint}")
    pattern = text_or_none("match", match)
    if pattern is not None:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"match is not a regular expression: {error}") from error
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError("count must be a whole number from 1")
    return Expectation(str(kind), text_or_none("function", function), pattern, count)


def text_or_none(name: str, value: object) -> str | None:
    """``value``, if it is some text or None.

    Raises:
        ValueError: it is something else.
    """
    if value is None or (isinstance(value, str) and value):
        return value
    raise ValueError(f"{name} must be text")

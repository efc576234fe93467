"""What a test says will go wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["Expectation"]


@dataclass(slots=True)
class Expectation:
    """Incidents that must come, as many as ``count``.

    Attributes:
        kind: the incident's kind; ``panic`` stands for any fatal incident.
        function: name of the guilty function, where it matters.
        match: regular expression to be found in the headline, where it matters.
        count: how many must come; one more is one too many.
    """

    kind: str
    function: str | None = None
    match: str | None = None
    count: int = 1
    seen: set[int] = field(default_factory=set)
    """Ids of the incidents that have come."""

    def takes(self, incident: Incident) -> bool:
        """Whether this incident is one of the expected; takes note of it if so."""
        if incident.id in self.seen:
            return True
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

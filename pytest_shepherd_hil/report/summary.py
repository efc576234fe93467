"""The last words of a run: what happened outside of tests, and where the evidence lies."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.report.failure import short_path
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    import pytest

__all__ = ["RunSummary"]


@dataclass(slots=True)
class RunSummary:
    """What is to be said at the end of a run. Plain data: an xdist worker sends it to the controller."""

    late: list[dict[str, Any]] = field(default_factory=list)
    """Reports of incidents that came when their test had ended, as pytest serialises them. They fail the run."""
    strays: list[str] = field(default_factory=list)
    """Headlines of incidents that no test's verdict has named. They fail the run."""
    reported: list[str] = field(default_factory=list)
    """Headlines of incidents that fail nothing, because the user wants them only reported."""
    broken: list[str] = field(default_factory=list)
    """Boards that did not come back, in words. They fail the run."""
    warnings: dict[str, int] = field(default_factory=dict)
    """How often each message came that is worth a word but fails nothing."""
    notes: list[str] = field(default_factory=list)
    """What a reader should know of how the run was watched."""
    problems: list[str] = field(default_factory=list)
    """What of the evidence could not be written."""
    evidence: dict[str, str] = field(default_factory=dict)
    """The evidence folder of each failed test, by node id."""

    @property
    def failed(self) -> bool:
        return bool(self.late or self.strays or self.broken)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def merge(self, other: RunSummary) -> None:
        """Add what another board's, or another process's, summary says."""
        self.late += other.late
        self.strays += other.strays
        self.reported += other.reported
        self.broken += other.broken
        self.notes += [note for note in other.notes if note not in self.notes]
        self.problems += [problem for problem in other.problems if problem not in self.problems]
        self.warnings = dict(Counter(self.warnings) + Counter(other.warnings))
        self.evidence.update(other.evidence)

    def since(self, earlier: RunSummary) -> RunSummary:
        """What has come since it was ``earlier``."""
        return RunSummary(
            late=self.late[len(earlier.late) :],
            strays=self.strays[len(earlier.strays) :],
            reported=self.reported[len(earlier.reported) :],
            broken=self.broken[len(earlier.broken) :],
            warnings=dict(Counter(self.warnings) - Counter(earlier.warnings)),
            notes=self.notes[len(earlier.notes) :],
            problems=self.problems[len(earlier.problems) :],
            evidence={test: folder for test, folder in self.evidence.items() if earlier.evidence.get(test) != folder},
        )

    def write(self, reporter: pytest.TerminalReporter) -> None:
        """Write the section ``hil`` of the terminal summary, where there is something to say."""
        if self == RunSummary():
            return
        reporter.section("hil")
        for headline in self.strays:
            reporter.write_line(f"outside of any test: {printable(headline)}", red=True)
        for headline in self.reported:
            reporter.write_line(f"incident, only reported: {printable(headline)}", yellow=True)
        for text in self.broken:
            reporter.write_line(printable(text), red=True)
        for title, count in self.warnings.items():
            reporter.write_line(f"warning ({count}x): {printable(title)}", yellow=True)
        for note in self.notes:
            reporter.write_line(printable(note))
        for problem in self.problems:
            reporter.write_line(printable(problem), yellow=True)
        if self.evidence:
            reporter.write_line("evidence:")
        for test, folder in self.evidence.items():
            reporter.write_line(f"  {printable(test)}")
            reporter.write_line(f"    {short_path(Path(folder))}")

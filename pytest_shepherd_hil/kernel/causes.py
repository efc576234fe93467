"""Which incident is the cause of what: consequences are folded into it, and so is what the kernel says again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.incident import Incident, Severity
from pytest_shepherd_hil.kernel.report import MAX_CONSEQUENCES
from pytest_shepherd_hil.kernel.rows import MAX_LINE_CHARS

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.lines import Line
    from pytest_shepherd_hil.kernel.rules import Hit, Rule

__all__ = ["Causes", "is_same_stall"]

_LASTS_S = 300.0
_LASTS_LINES = 3000
_MAX_LASTING = 64
_DISTURBED_S = 5.0
_STRENGTH = {Severity.INFO: 0, Severity.WARN: 1, Severity.FAIL: 2}


@dataclass(slots=True)
class _Cause:
    """A past incident that may still have consequences."""

    incident: Incident
    title: str
    adds: tuple[str, ...]
    time_s: float | None
    line: int


def _identity(hit: Hit) -> tuple[str, ...]:
    """What is the same each time a stall is reported: the rule, and the task, cpu or pool that does not go on."""
    groups = hit.match.groupdict()
    return (hit.rule.id, *(groups.get(name) or "" for name in ("comm", "pid", "cpu", "pool")))


def _lasts_s(hit: Hit) -> float:
    """For how long, as a watchdog says, it has not gone on; a bit more, as one watchdog's report disturbs the other."""
    groups = hit.match.groupdict()
    text = next((groups[name] for name in ("stuck", "blocked", "dying") if groups.get(name)), None)
    return float(text) + _DISTURBED_S if text and text.isdecimal() else -1.0


def is_same_stall(before: Incident, now: Incident) -> bool:
    """Whether two reports are of one loop: the same function, and the same task or, where one has none, cpu."""
    one, other = before.crash, now.crash
    if one is None or other is None or now.function is None:
        return False
    if (before.function, before.module) != (now.function, now.module):
        return False
    if one.pid and other.pid:
        return one.pid == other.pid
    return one.cpu is not None and one.cpu == other.cpu


class Causes:
    """The latest incident of each kind and rule of one boot, and the stalls that may last."""

    def __init__(self) -> None:
        self._latest: dict[str, _Cause] = {}
        self._lasting: dict[tuple[str, ...], tuple[Incident, float | None]] = {}

    def remember(self, incident: Incident, time_s: float | None) -> None:
        """An incident is over: from now on it may be a cause. ``time_s`` is the kernel time of its last line."""
        cause = _Cause(incident, incident.title, (), time_s, incident.last_line)
        self._latest[incident.kind] = self._latest[incident.rule] = cause

    def remember_lasting(self, hit: Hit, incident: Incident, time_s: float | None) -> None:
        """The same of one that the kernel reports again while it lasts."""
        if len(self._lasting) >= _MAX_LASTING:
            self._lasting.clear()
        self._lasting[_identity(hit)] = (incident, time_s)
        for identity, (other, last_s) in self._lasting.items():
            if other.id == incident.id:
                self._lasting[identity] = (incident, last_s)

    def lasting(self, hit: Hit, line: Line) -> Incident | None:
        """The incident that the kernel reports once more."""
        last = self._lasting.get(_identity(hit)) if hit.rule.repeats else None
        if last is None:
            return None
        incident, time_s = last
        if line.kernel_time_s is not None and time_s is not None:
            lasts = line.kernel_time_s - time_s <= _LASTS_S
        else:
            lasts = line.number - incident.last_line <= _LASTS_LINES
        return incident if lasts else None

    def twin(self, hit: Hit, line: Line, first_line: int) -> Incident | None:
        """The latest stall of which this may be another watchdog's report: :func:`is_same_stall` tells when it is over.

        ``first_line`` is the number of the report's first line, which may be before ``line``.
        """
        causes = [cause for kind in hit.rule.same_as if (cause := self._latest.get(kind)) is not None]
        cause = max(causes, key=lambda each: each.incident.id, default=None)
        if cause is None or _STRENGTH[cause.incident.severity] < _STRENGTH[hit.rule.severity]:
            return None
        at_once = first_line - cause.line <= 1
        if line.kernel_time_s is None or cause.time_s is None:
            return cause.incident if at_once else None
        past_s = line.kernel_time_s - cause.time_s
        return cause.incident if past_s <= hit.rule.within_s and (at_once or past_s <= _lasts_s(hit)) else None

    def still(self, incident: Incident | None) -> Incident | None:
        """The incident as it is now; None where it is not the latest of its kind any more."""
        cause = self._latest.get(incident.kind) if incident is not None else None
        return cause.incident if cause and incident and cause.incident.id == incident.id else None

    def last_report(self) -> tuple[Incident, float | None] | None:
        """The latest failure that had a report, and the kernel time of its last line."""
        reports = (c for c in self._latest.values() if c.incident.crash and c.incident.severity is Severity.FAIL)
        last = max(reports, key=lambda each: each.incident.id, default=None)
        return (last.incident, last.time_s) if last is not None else None

    def of(self, rule: Rule, line: Line) -> Incident | None:
        """The latest incident of which a line of this rule is a consequence."""
        cause = self._of(rule, line)
        return cause.incident if cause else None

    def _of(self, rule: Rule, line: Line) -> _Cause | None:
        found: _Cause | None = None
        for name in rule.consequence_of:
            cause = self._latest.get(name)
            if cause is None or _STRENGTH[cause.incident.severity] < _STRENGTH[rule.severity]:
                continue
            if line.kernel_time_s is not None and cause.time_s is not None:
                soon = line.kernel_time_s - cause.time_s <= rule.within_s
            else:
                soon = line.number - cause.line <= rule.within_lines
            if soon and (found is None or cause.incident.id > found.incident.id):
                found = cause
        return found

    def add(self, line: Line, hit: Hit) -> list[Incident]:
        """Fold a line into its cause; the cause as it is now, nothing where it has more than enough of them."""
        cause = self._of(hit.rule, line)
        if cause is None:
            return []
        cause.time_s, cause.line = line.kernel_time_s or cause.time_s, line.number
        incident = cause.incident
        if len(incident.consequences) >= MAX_CONSEQUENCES:
            return []
        added = hit.render(hit.rule.adds) if hit.rule.adds else ""
        if added and added not in cause.adds:
            cause.adds += (added,)
        cause.incident = replace(
            incident,
            title=f"{cause.title} -> {', '.join(cause.adds)}" if cause.adds else cause.title,
            last_line=line.number,
            lines=(*incident.lines, line.text[:MAX_LINE_CHARS]),
            consequences=(*incident.consequences, line.message[:MAX_LINE_CHARS]),
        )
        return [cause.incident]

"""The judge of a kernel console: lines in, incidents out. No threads, no clock, no I/O; bounded memory."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.causes import Causes, is_same_stall
from pytest_shepherd_hil.kernel.gates import KEY
from pytest_shepherd_hil.kernel.hints import cma_hints, reboot_hints, remoteproc_hints
from pytest_shepherd_hil.kernel.lines import may_embed, split_embedded
from pytest_shepherd_hil.kernel.marks import ASKED_FOR, CUT, MARK, MARKED, PREAMBLE, REQUEST, shows_a_log
from pytest_shepherd_hil.kernel.report import Report
from pytest_shepherd_hil.kernel.rows import MAX_LINE_CHARS
from pytest_shepherd_hil.kernel.rules import load_rules
from pytest_shepherd_hil.kernel.single import number_of, single_incident
from pytest_shepherd_hil.kernel.timeline import Timeline

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.kernel.lines import Line
    from pytest_shepherd_hil.kernel.rows import Rows
    from pytest_shepherd_hil.kernel.rules import Hit, Rules

__all__ = ["Detector"]

_MAX_SEEN = 256
_PANIC_WITHIN_S = 5.0
_PANIC_WITHIN_LINES = 50

_MAX_PREAMBLE = 4
_MAX_ASIDE = 4
"""Reports of other cpus that are open at the same time."""
_MAX_ASIDE_LINES = 200
"""So many lines after its last one, a report that had been put aside is over."""
_ASKED_FOR_S = 5.0
_ASKED_FOR_LINES = 100
_SHOWN_LINES = 100

_BANNERS = ("spl", "uboot", "start", "linux", "version")
"""The banners of one boot, in their order: groups of the rule ``boot``."""
_KERNEL_BANNER = _BANNERS.index("linux")
_BOOTED = len(_BANNERS)
_YOUNG_S = 1.0
"""A kernel whose time has not come this far has not booted again: one of its first lines was damaged, or came twice."""


class Detector:
    """Finds the incidents in the lines of one console.

    Incidents come out in the order in which they begin; one that is amended comes out again under the same id.

    Kernel time tells a log that is shown again from news (see :class:`Timeline`), and a line that a rule found is not
    judged a second time with the same time and text. A boot banner is an unexpected reboot unless the owner announced
    the boot, or nothing of a kernel had been seen yet, or it is shown again: the line before it was a replay or, before
    the kernel's own banner, a prompt with a command that shows logs. The banners of one boot, boot loader and kernel,
    come in a fixed order: one that goes on in that order belongs to the same boot. A reboot that ends a report, or
    follows a panic, is a consequence of that. A stall that the kernel reports again while it lasts (``repeats`` in the
    rule) is one incident: the first report is the cause, each later one a consequence; so is another watchdog's report
    of the same stall (``same_as``), which is therefore given out only when it is over. After a panic nothing counts
    until the board boots. A report that silence had cut goes on, under its id, where more of it comes.
    """

    def __init__(self, rules: Rules | None = None, *, unfinished: bool = True) -> None:
        """``unfinished``: give out an incident at its first line already, and again when it is complete."""
        self._rules = load_rules() if rules is None else rules
        self._gates = self._rules.gates
        self._in_reports = self._rules.in_reports
        self._unfinished = unfinished
        self._calm = False
        self._count = 0
        self._unfounded: list[Incident] = []
        self._shown_at: int | None = None
        self._report: Report | None = None
        self._boot_expected = False
        self._matched: tuple[str, Hit | None] = ("", None)
        self._begin(_BOOTED)

    def _begin(self, stage: int) -> None:
        """Forget what belongs to one boot of the board."""
        self._boot_stage = stage
        self._timeline = Timeline()
        self._seen_kernel = False
        self._fatal: Incident | None = None
        self._last: Report | None = None
        self._asked_for: Line | None = None
        self._crashes = 0
        self._cma_failures = 0
        self._preamble: list[Line] = []
        self._request: str | None = None
        self._causes = Causes()
        self._others: dict[str, Report] = {}
        self._seen: deque[tuple[float, str]] = deque(maxlen=_MAX_SEEN)
        self._cut = False
        self._shown_again = False
        self._log_wanted = False

    @property
    def pending(self) -> bool:
        """A report is open: after some silence the owner calls :meth:`flush`."""
        return self._report is not None or bool(self._others)

    @property
    def settling(self) -> bool:
        """The open report has come to its end; only a panic line may still follow."""
        return self._report is not None and self._report.settling and not self._others

    @property
    def awaits_boot(self) -> bool:
        """After a panic, or announced: the first line whose time begins again is of the next boot."""
        return self._fatal is not None or self._boot_expected

    def new_epoch(self) -> None:
        """The owner boots the board on purpose: the next boot is no incident."""
        self._boot_expected = True
        self._calm = False

    def feed(self, line: Line) -> list[Incident]:
        """Judge the next line."""
        message = line[2]
        if not message:
            return []
        if self._calm:
            time_s = line[3]
            if self._report is not None:
                if self._passes(line[0], line[1], message, time_s):
                    return []
            elif time_s is not None:  # the way of nearly all lines, written out: a call more is a tenth of it
                timeline = self._timeline
                newest = timeline.newest
                if newest is not None and newest <= time_s <= newest + 1.0:
                    beginning = message[:KEY]
                    match, texts = self._gates[beginning]
                    if match is None or not match(message):
                        for text in texts:
                            if text in message:
                                break
                        else:
                            if not (("]" in message or beginning in MARKED or self._preamble) and self._marks(message)):
                                timeline.newest = time_s
                                return []
        found: list[Incident] = []
        for part in split_embedded(line):
            if part.message:
                found += self._judge(part)
        # Calm: a line of the kernel, in its time, that no rule knows, changes nothing but the time.
        self._calm = self._seen_kernel and not (
            self._fatal is not None
            or self._boot_expected
            or self._cut
            or self._log_wanted
            or self._shown_again
            or self._timeline.replaying
            or self._boot_stage != _BOOTED
        )
        return self._founded(found)

    def _founded(self, found: list[Incident]) -> list[Incident]:
        """Without what had been begun by a line from the middle of a report and turned out to be none."""
        if not self._unfounded:
            return found
        unfounded, self._unfounded = self._unfounded, []
        return [incident for incident in found if not any(incident is one for one in unfounded)]

    def _may_be_remains(self, line: Line) -> bool:
        """Whether a line from the middle of a report can be all that is left of its beginning."""
        if self._last is not None and self._follows(self._last, line):
            return False
        if line.kernel_time_s is None and self._shown_at is not None and line.number - self._shown_at <= _SHOWN_LINES:
            return False  # a line that lost its time where an old log is being shown
        asked = self._asked_for
        if asked is None or line.number - asked.number > _ASKED_FOR_LINES:
            return True
        if line.kernel_time_s is None or asked.kernel_time_s is None:
            return False
        return line.kernel_time_s - asked.kernel_time_s > _ASKED_FOR_S

    def take_rows(self, rows: Rows, start: int, number: int) -> int:
        """Judge lines of the open report that no rule matches, without making a :class:`Line` of each.

        ``number`` is the number of the line at ``start``. Tells where a line is that is to be fed, or the end.
        """
        report, newest = self._report, self._timeline.newest
        if report is None or newest is None or not self._calm or self._others or self._preamble:
            return start
        start, self._timeline.newest = report.take_rows(rows, start, number, newest)
        return start

    def _marks(self, message: str) -> bool:
        """Whether a message that no rule matches says something of what comes after it, or ends such a thing."""
        if self._preamble or MARK.match(message):
            return True
        return "]" in message and (may_embed(message) or ASKED_FOR.match(message) is not None)

    def _passes(self, number: int, text: str, message: str, time_s: float | None) -> bool:
        """Whether the line is an ordinary one of the open report, and taken: the fast way of :meth:`_judge`."""
        timeline = self._timeline
        newest = timeline.newest
        if time_s is None:
            if shows_a_log(message):
                return False
        elif newest is None or not newest <= time_s <= newest + 1.0:
            return False
        if ("]" in message and may_embed(message)) or self._in_reports.may_match(message):
            return False
        report = self._report
        if report is None or report.settling or self._others:
            return False
        if not report.take_plain(number, text, message, time_s):
            return False
        if time_s is not None:
            timeline.newest = time_s
        return True

    def may_be_news(self, message: str) -> bool:
        """False for a message that no rule matches, and that says nothing about a boot either."""
        hit = self._rules.match(message)
        self._matched = (message, hit)
        return hit is not None or REQUEST.match(message) is not None or ASKED_FOR.match(message) is not None

    def pass_time(self, time_s: float, *, each: bool = False) -> list[Incident]:
        """Take note of the time of a line that is known to be no news; ``each``: those in between have been told."""
        found: list[Incident] = []
        if self._timeline.is_back(time_s) and (self._fatal is not None or self._boot_expected):
            found += self._booted("kernel time began again")
            self._begin(_BOOTED)
        live = self._timeline.live(time_s) if each else self._timeline.pass_time(time_s)
        if live and self._fatal is None:
            self._seen_kernel, self._boot_stage = True, _BOOTED
            self._preamble.clear()
        return self._founded(found)

    def is_now(self, time_s: float) -> None:
        """The owner knows that the last line, of this kernel time, was news, whatever has been shown before."""
        self._timeline.is_now(time_s)
        self._shown_again = self._log_wanted = False

    def flush(self) -> list[Incident]:
        """Close what is open as it stands: the console has been silent for a while, or the log is at its end."""
        others, self._others = list(self._others.values()), {}
        found = [self._close(report) for report in others]
        if self._report is not None:
            incident = self._close(self._report)
            self._cut = not incident.complete
            found.append(incident)
        if found:
            self._calm = False
        return self._founded(sorted(found, key=lambda incident: incident.id))

    # --- is it news?

    def _judge(self, line: Line) -> list[Incident]:
        matched, hit = self._matched
        if self.pending:
            hit = self._in_reports.match(line.message)
        elif matched is not line.message:
            hit = self._rules.match(line.message)
        if hit is not None and hit.rule.report == "boot":
            name = hit.match.lastgroup
            stage = _BANNERS.index(name) if name in _BANNERS else _KERNEL_BANNER
            # ``cat /proc/version`` says the same as the kernel, but not at its first second.
            if _BANNERS[stage] != "version" or (line.kernel_time_s is not None and line.kernel_time_s < 1):
                return self._banner(line, hit, stage)
            hit = None
        if hit is not None and hit.rule.remains and not self._may_be_remains(line):
            hit = None
        found: list[Incident] = []
        if self._timeline.is_back(line.kernel_time_s) and (self._fatal is not None or self._boot_expected):
            found += self._booted("kernel time began again")
            self._begin(_BOOTED)
        if self._is_news(line, hit):
            found += self._news(line, hit)
        return found

    def _is_news(self, line: Line, hit: Hit | None) -> bool:
        time_s = line.kernel_time_s
        live = self._timeline.live(time_s)
        self._shown_again = time_s is not None and not live
        if self._shown_again:
            self._shown_at = line.number
        self._log_wanted = time_s is None and shows_a_log(line.message)
        if not live or self._fatal is not None:
            return False
        if time_s is not None:
            self._seen_kernel = True
            self._boot_stage = _BOOTED
        if hit is not None:
            self._seen_kernel = True
            if time_s is not None:
                key = (time_s, line.message[:MAX_LINE_CHARS])
                if key in self._seen:
                    return False
                self._seen.append(key)
        return True

    # --- boots

    def _banner(self, line: Line, hit: Hit, stage: int) -> list[Incident]:
        wanted = self._log_wanted and stage >= _KERNEL_BANNER
        if self._boot_stage >= _KERNEL_BANNER and (self._shown_again or wanted):
            self._shown_again = self._timeline.replaying = True
            return []
        if stage > self._boot_stage:
            self._boot_stage = stage
            self._timeline.live(line.kernel_time_s)
            return []
        young = self._timeline.newest is not None and self._timeline.newest < _YOUNG_S
        if young and stage >= _KERNEL_BANNER and self._fatal is None and not self.pending:
            return []
        found = self._booted(line.message[:MAX_LINE_CHARS], line, hit)
        self._begin(stage)
        self._timeline.live(line.kernel_time_s)
        return found

    def _booted(self, message: str, line: Line | None = None, hit: Hit | None = None) -> list[Incident]:
        """The board has started again; whose doing is it?"""
        expected, self._boot_expected = self._boot_expected, False
        if self._report is not None and self._report.unfounded:
            self._close(self._report)
        if self.pending:
            *others, report = (*self._others.values(), *([self._report] if self._report else []))
            report.rebooted = None if expected else f"the board rebooted: {message}"
            self._others, self._report = {}, None
            return [self._close(one) for one in (*others, report)]
        if expected:
            return []
        if self._fatal is not None:
            return [replace(self._fatal, consequences=(*self._fatal.consequences, f"the board rebooted: {message}"))]
        if not self._seen_kernel or line is None or hit is None:
            return []
        self._count += 1
        before, ended_s = self._causes.last_report() or (None, None)
        past_s = newest - ended_s if (newest := self._timeline.newest) is not None and ended_s is not None else None
        hints = reboot_hints(self._request, before.title if before else None, past_s)
        found = single_incident(self._count, line, hit, fatal=True, hints=hints)
        return [replace(found, signature=found.kind)]

    # --- reports

    def _news(self, line: Line, hit: Hit | None) -> list[Incident]:
        found: list[Incident] = self._turn_to(line, hit) if self.pending and line.caller else []
        if self._report is not None:
            taken = self._in_report(self._report, line, hit, found)
            if taken or self._fatal is not None:
                return found
        elif hit is None and self._cut and self._last and self._follows(self._last, line) and self._last.take(line):
            self._report = self._last
            return found
        if hit is None:
            # What a warning has to say stands between the mark and its first line.
            cut = bool(self._preamble) and CUT.match(self._preamble[0].message) is not None
            if (cut or PREAMBLE.match(line.message)) and len(self._preamble) < _MAX_PREAMBLE:
                self._preamble.append(line)
            else:
                self._preamble.clear()
            if ASKED_FOR.match(line.message):
                self._asked_for = line
            if REQUEST.match(line.message):
                self._request = line.message[:MAX_LINE_CHARS]
            return found
        found += self._single(line, hit) if hit.rule.report is None else self._start(line, hit)
        self._preamble.clear()
        return found

    def _turn_to(self, line: Line, hit: Hit | None) -> list[Incident]:
        """Two cpus report at once: turn to the report of the line's own caller, and put the other aside.

        A caller (a thread, or a cpu in interrupt) that begins a report of its own in the middle of another's has one
        of its own; lines of a caller without one are of the report that is open, as those of the other cpus that the
        kernel asks what they do.
        """
        caller, report = line.caller or "", self._report
        late = [name for name, other in self._others.items() if line.number - other.last_line > _MAX_ASIDE_LINES]
        found = [self._close_aside(self._others.pop(name)) for name in late]
        if report is not None and (report.caller is None or report.caller == caller):
            return found
        own = self._others.pop(caller, None)
        begins = hit is not None and hit.rule.report in ("oops", "trace") and report is not None
        if own is None and (not begins or report is None or report.settling or report.joins(hit)):
            return found
        if report is not None and report.caller is not None:
            if len(self._others) >= _MAX_ASIDE:
                found.append(self._close_aside(self._others.pop(next(iter(self._others)))))
            self._others[report.caller] = report
        self._report = own
        return found

    def _close_aside(self, report: Report) -> Incident:
        last, cut = self._last, self._cut
        incident = self._close(report)
        self._last, self._cut = last, cut
        return incident

    def _in_report(self, report: Report, line: Line, hit: Hit | None, found: list[Incident]) -> bool:
        """Whether the line is one of the open report; closes the report where the line shows that it is over."""
        starts = hit is not None and hit.rule.report is not None
        if starts and hit is not None and not (report.continues(hit, line.message) and self._follows(report, line)):
            found.append(self._close(report))
            return False
        ours = starts or (hit is None and not (report.settling and CUT.match(line.message)))
        ours = ours or (hit is not None and not report.settling and report.rule.kind in hit.rule.consequence_of)
        if starts and hit is not None and hit.rule.report != "panic" and not report.reader.traced:
            report.refine(hit)
        if ours and report.take(line, hit):
            if report.finished:
                found.append(self._close(report))
            return True
        if report.settling or not report.pass_over(line.kernel_time_s):
            found.append(self._close(report))
        return False

    def _start(self, line: Line, hit: Hit) -> list[Incident]:
        report = self._last
        if (
            report
            and report.rule.report == "oops"
            and self._follows(report, line)
            and report.continues(hit, line.message)
        ):
            report.take(line, hit)
        else:
            cause = self._causes.lasting(hit, line) or self._causes.of(hit.rule, line)
            self._count += cause is None
            number = self._count if cause is None else cause.id
            at_once = [*self._others.values(), *([self._report] if self._report else [])]
            earlier = self._crashes + sum(other.of_kernel and not other.counted for other in at_once)
            report = Report(number, hit, line, tuple(self._preamble), earlier)
            report.cause = cause
            if cause is None and hit.rule.same_as:
                report.twin = self._causes.twin(hit, line, report.first_line)
        if self._report is not None and self._report.caller is not None:
            self._others[self._report.caller] = self._report
        self._report = report
        if report.finished:
            return [self._close(report)]
        if report.cause is not None or report.twin is not None or not self._unfinished or hit.rule.remains:
            return []
        return [report.incident(is_open=True)]

    def _follows(self, report: Report, line: Line) -> bool:
        """Whether a line comes soon enough after a report to be of it."""
        if line.kernel_time_s is not None and report.last_time is not None:
            return line.kernel_time_s - report.last_time <= _PANIC_WITHIN_S
        return line.number - report.last_line <= _PANIC_WITHIN_LINES

    def _close(self, report: Report) -> Incident:
        self._last, self._cut = report, False
        if report is self._report:
            self._report = self._others.popitem()[1] if self._others else None
        incident = report.incident(is_open=False)
        twin = self._causes.still(report.twin) if report.cause is None else None
        if twin is not None and is_same_stall(twin, incident):
            report.cause = twin
            incident = report.incident(is_open=False)
        if report.unfounded:
            self._last = None
            self._unfounded.append(incident)
            return incident
        if incident.fatal:
            self._fatal = incident
        if report.of_kernel and not report.counted:
            report.counted = True
            self._crashes += 1
        self._causes.remember(incident, report.last_time)
        if report.rule.repeats:
            self._causes.remember_lasting(report.hit, incident, report.last_time)
        return incident

    # --- single lines and their consequences

    def _single(self, line: Line, hit: Hit) -> list[Incident]:
        if self._causes.of(hit.rule, line) is not None:
            return self._causes.add(line, hit)
        hints: tuple[str, ...] = ()
        if hit.rule.kind == "cma-alloc-failure":
            self._cma_failures += 1
            hints = cma_hints(number_of(hit, "pages"), number_of(hit, "error"), self._cma_failures)
        elif hit.rule.kind == "remoteproc-failure":
            hints = remoteproc_hints(line.message)
        self._count += 1
        incident = single_incident(self._count, line, hit, hints=hints)
        self._causes.remember(incident, line.kernel_time_s)
        return [incident]

"""One report of many lines while it is being printed, and what it comes to as an incident."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.crash import FLAGGED, NULL_PAGE, CrashReader
from pytest_shepherd_hil.kernel.guilty import guilty_frame
from pytest_shepherd_hil.kernel.hints import crash_hints, is_secondary, panic_hints
from pytest_shepherd_hil.kernel.incident import Frame, Incident
from pytest_shepherd_hil.kernel.lines import may_embed
from pytest_shepherd_hil.kernel.machinery import is_machinery
from pytest_shepherd_hil.kernel.marks import MARK, MARKED
from pytest_shepherd_hil.kernel.rows import MAX_LINE_CHARS, Rows
from pytest_shepherd_hil.kernel.shapes import PLACE, shape_of
from pytest_shepherd_hil.kernel.stalls import in_flight, is_whole, of_headline, work_hints
from pytest_shepherd_hil.kernel.trace import SYM

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Crash
    from pytest_shepherd_hil.kernel.lines import Line
    from pytest_shepherd_hil.kernel.rules import Hit

__all__ = ["MAX_CONSEQUENCES", "Report", "normalised"]

MAX_LINES = 400
"""Lines of a report that are kept."""
MAX_CONSEQUENCES = 50
_MAX_TOTAL_LINES = 5000
_MAX_FOREIGN = 200
"""Lines in a row that belong to no report, after which a report without an end is given up as cut."""
_MAX_FOREIGN_AFTER_TRACE = 20
"""The same where the report has no end of its own and has shown its trace."""

_FIRST_LOST = "the first lines of its report are lost"

_ONE_OF_MANY = {"rcu-stall", "machine-check"}
"""Kinds whose first line comes several times in one report."""
_OF_ANYBODY = {"oops-unhandled-fault", "alignment-trap", "boot-loader"}
"""Rules whose line is also printed for a process that only gets a signal, or before there is a kernel."""
_ONE_AFTER_ANOTHER = {"memory-leak", "slab", "mount-failure"}
"""Rules of which several lines in a row begin one report."""
_NAMES_INLINED = {"kasan", "kmsan", "kfence", "warning", "warning-new-shape"}
"""Rules whose first line stands once for each function that was inlined at the place, in a symbolized report."""
_GUESSED = re.compile(rf"\? {{1,4}}(?={PLACE}){SYM}")
_NUMBER = re.compile(r"\[#\d{1,6}\]")
_SMASHED = re.compile(r"stack is corrupted in: (?P<function>[A-Za-z_]\w{0,127})\+0x")
_SORTS = (
    ("suspicious", "rcu-usage"),
    ("non-static key", "new-key"),
    ("-free", "bad-free"),
    ("bad usercopy", "usercopy"),
    ("scheduling while atomic", "scheduling"),
)
"""What a title has in it, and which sort of report that is (see ``machinery.is_beside``)."""
_SEVERAL = re.compile(r"#(?:[ .,:/-]*#)+")
_NOISE = re.compile(r"-?0x[0-9a-f]+|\b[0-9a-f]*\d[0-9a-f]*\b|-?\d+(?:\.\d+)?", re.IGNORECASE)


def normalised(title: str) -> str:
    """A title without its numbers, equal for two runs of one bug."""
    return _SEVERAL.sub("#", _NOISE.sub("#", title))


class Report:
    """A report from its first line on. ``take`` reads a line, ``incident`` tells what is known so far."""

    def __init__(self, number: int, hit: Hit, line: Line, preamble: tuple[Line, ...], earlier: int) -> None:
        self.number = number
        self.hit = hit
        self.rule = hit.rule
        self.earlier = earlier
        self.caller = line.caller
        """The thread, or the cpu in interrupt, that began it, where the console shows callers."""
        self.reader = CrashReader()
        self.first_line = (*preamble, line)[0].number
        self.last_line = line.number
        self.first_time = line.kernel_time_s
        self.last_time = line.kernel_time_s
        self.rebooted: str | None = None
        self._title = hit.render(hit.rule.title)
        self._groups = hit.match.groupdict()
        self._lines: list[str] = []
        self._total = 0
        self._foreign = 0
        self._refined = False
        self._cut_here = bool(preamble)
        self.counted = False
        """Among the crashes of this boot."""
        self.cause: Incident | None = None
        """The incident that is reported here once more, or of which this report is a consequence."""
        self.twin: Incident | None = None
        """A stall of which this report may tell once more."""
        for before in preamble:
            self.take(before)
        self.take(line, hit)

    def take(self, line: Line, hit: Hit | None = None) -> bool:
        """Read a line; False where it is not of this report."""
        known = self.reader.add(line.message)
        if not known and hit is None:
            return False
        if hit is not None and hit.rule.report == "panic" and self.reader.panic_reason is None:
            self.reader.panic_reason = line.message[:MAX_LINE_CHARS]
        if len(self._lines) < MAX_LINES:
            self._lines.append(line.text[:MAX_LINE_CHARS])
        self.last_line = line.number
        self.last_time = line.kernel_time_s if line.kernel_time_s is not None else self.last_time
        self._total += 1
        self._foreign = 0
        return True

    def take_plain(self, number: int, text: str, message: str, time_s: float | None) -> bool:
        """Read a line that no rule knows and that ends nothing: the fast way of :meth:`take`. False: take it."""
        if self._total >= _MAX_TOTAL_LINES - 1 or not self.reader.add_plain(message):
            return False
        if len(self._lines) < MAX_LINES:
            self._lines.append(text[:MAX_LINE_CHARS])
        self.last_line = number
        if time_s is not None:
            self.last_time = time_s
        self._total += 1
        self._foreign = 0
        return True

    def take_rows(self, rows: Rows, start: int, number: int, newest: float) -> tuple[int, float]:
        """As :meth:`take_plain` and :meth:`pass_plain` for lines from ``start`` on, of which no rule knows one.

        Args:
            number: of the line at ``start``.
            newest: kernel time of the line before it.

        Returns:
            Where the next line is that is to be looked at more closely, or the end; and the newest time.
        """
        messages, reader = rows.messages, self.reader
        if not newest <= rows.time(start) <= newest + 1.0:
            return start, newest
        stop = max(start, min(rows.next_stop(start), start + _MAX_TOTAL_LINES - 1 - self._total))
        first = number - start
        begin = frames = start
        for index in rows.others_from(start):
            if index >= stop:
                break
            message = messages[index].rstrip()
            if not message or ("]" in message and may_embed(message)):
                stop = index
                break
            shape = shape_of(message)
            if shape in FLAGGED or (reader.ended and message[0] in "8-"):
                stop = index
                break
            if shape == "text":
                continue
            if frames < index:
                reader.add_rows(rows, frames, index)
            if shape is not None:
                reader.add_shape(shape, message)
                frames = index + 1
                continue
            self._keep(rows, begin, index, first)
            begin = frames = index
            if not self.pass_plain(message, rows.time(index)):
                stop = index
                break
            begin = frames = index + 1
        if frames < stop:
            reader.add_rows(rows, frames, stop)
        self._keep(rows, begin, stop, first)
        return stop, rows.time(stop - 1) if stop > start else newest

    def _keep(self, rows: Rows, start: int, stop: int, first: int) -> None:
        """Note that these lines are of the report; ``first`` is the number of the first of all."""
        if start >= stop:
            return
        if (room := MAX_LINES - len(self._lines)) > 0:
            self._lines += rows.lines[start : min(stop, start + room)]
        self.last_line, self.last_time = first + stop - 1, rows.time(stop - 1)
        self._total += stop - start
        self._foreign = 0

    def pass_plain(self, message: str, time_s: float | None) -> bool:
        """Pass over somebody else's line that says nothing else; False where :meth:`pass_over` is to be asked."""
        if self.settling or self._foreign >= self._patience(time_s) or (message[:3] in MARKED and MARK.match(message)):
            return False
        self._foreign += 1
        return True

    def pass_over(self, time_s: float | None) -> bool:
        """Somebody else's line came in between; False where there have been too many for the report to be still on."""
        self._foreign += 1
        return self._foreign <= self._patience(time_s)

    def _patience(self, time_s: float | None) -> int:
        """How many of somebody else's lines may come in a row."""
        from_user_space = time_s is None and self.last_time is not None
        traced = self.rule.report == "trace" and self.reader.traced and not from_user_space
        return _MAX_FOREIGN_AFTER_TRACE if traced else _MAX_FOREIGN

    def continues(self, hit: Hit, message: str) -> bool:
        """Whether a line that could begin a report is a further line of this one."""
        kind = hit.rule.report
        if kind == "panic":
            return True
        if self.fatal or self.reader.ended:
            return False
        if not self.reader.traced and (self.refined_by(hit) or hit.rule.kind in self.rule.refines):
            return True
        if self.rule is hit.rule and self.rule.id in _ONE_AFTER_ANOTHER and not self.reader.traced:
            return True
        if self.rule.id in _NAMES_INLINED and self.rule.kind == hit.rule.kind and not self.reader.traced:
            return self._lines[-1:] != [] and self._lines[-1].rstrip().endswith("[inline]")
        if kind == "oops" and self.rule.kind == "machine-check" and not self.reader.traced:
            return True
        if kind == "oops" == self.rule.report and not self.reader.traced and not self.reader.numbered:
            return True
        if hit.rule.kind == self.rule.kind and self.rule.kind in _ONE_OF_MANY:
            return True
        return kind == "oops" == self.rule.report and not self.reader.numbered and _NUMBER.search(message) is not None

    def joins(self, hit: Hit | None) -> bool:
        """Whether what begins a report, said by another caller, is of this one: each cpu tells of the same stall."""
        return hit is not None and hit.rule.kind == self.rule.kind and self.rule.kind in _ONE_OF_MANY

    @property
    def unfounded(self) -> bool:
        """It was begun by a line from the middle of a report, and nothing more came of a crash."""
        if not self.rule.remains or self.rule.id != "remains" or self.fatal:
            return False
        if self.reader.of_a_process:
            return True
        return not (self.reader.shows_a_crash or (self._cut_here and self._total > 2))

    @property
    def of_kernel(self) -> bool:
        """The kernel itself has crashed, as far as it has said by now: what comes later may be due to that."""
        if self.rule.report != "oops" or self.hit.rule.remains:
            return False
        if self.rule.id not in _OF_ANYBODY or self.reader.numbered or self.fatal:
            return True
        return self.reader.reading().pc is not None

    def refined_by(self, hit: Hit) -> bool:
        """Whether a line says more exactly what this is a report of."""
        if self.rule.remains:
            first = self._total < 12 and not self.reader.of_a_process
            return first and hit.rule.report is not None and not hit.rule.remains
        if self.rule.id == "headline-cut":
            return hit.rule.report is not None and hit.rule is not self.rule and self._total < 4
        refines = self.rule.kind in hit.rule.refines or self.rule.id in hit.rule.refines
        return refines and hit.rule.id != self.rule.id and not self._refined

    def refine(self, hit: Hit) -> None:
        """A further line says more exactly what this is a report of; or, of a warning, where."""
        if self.refined_by(hit):
            self.rule = hit.rule
            self._title = hit.render(hit.rule.title)
            self._refined = True
        self._groups = {**self._groups, **{name: text for name, text in hit.match.groupdict().items() if text}}

    @property
    def fatal(self) -> bool:
        return self.reader.panic_reason is not None or self.rebooted is not None

    @property
    def settling(self) -> bool:
        """The report has come to its end, but a panic line may still follow."""
        return self.reader.ended and not self.fatal

    @property
    def finished(self) -> bool:
        """Nothing more of it can come."""
        if self.reader.panic_ended or self._total >= _MAX_TOTAL_LINES:
            return True
        return self.rule.report == "trace" and self.reader.ended and not self.fatal

    @property
    def complete(self) -> bool:
        """It came to its own end. Reports without an end of their own (stalls) have one once they showed a frame."""
        if self.rule.remains:
            return False
        if self.reader.ended or self.reader.panic_ended:
            return True
        if self.rule.kind == "workqueue-lockup" and is_whole(self._lines):
            return True
        return self.rule.report == "trace" and self.rule.kind != "warning" and self.reader.traced

    def incident(self, *, is_open: bool) -> Incident:
        """What is known of it; for the report of a consequence, the cause with this consequence."""
        own = self._incident(is_open=is_open)
        cause = self.cause
        if cause is None:
            return own
        reason = self.reader.panic_reason
        then = f", then panic: {reason}" if reason else ", then a reboot" if self.rebooted else ""
        return replace(
            cause,
            title=f"{cause.title}{then}" if then and not cause.fatal else cause.title,
            last_line=own.last_line,
            open=False,
            fatal=cause.fatal or own.fatal,
            hints=cause.hints
            if cause.fatal
            else (*cause.hints, *(panic_hints(own.crash) if reason and own.crash else ())),
            consequences=(*cause.consequences, own.title, *own.consequences)[:MAX_CONSEQUENCES],
        )

    def _incident(self, *, is_open: bool) -> Incident:
        crash = of_headline(self.reader.crash(self.rule.kind), self.rule.kind, self._groups)
        works = in_flight(self._lines, self._groups.get("pool")) if self.rule.kind == "workqueue-lockup" else []
        if len(works) == 1:
            ((pid, work),) = works
            crash = replace(crash, pid=pid, frames=crash.frames or (work,))
        guilty = self._guilty(crash)
        what = self._what(crash)
        hints = crash_hints(crash, guilty, self.earlier, survived=self.rule.kind == "warning") + work_hints(works)
        if self.reader.panic_reason is not None:
            hints += panic_hints(crash)
        place = (guilty.function, f"[{guilty.module}]" if guilty.module else "") if guilty else ("", "")
        return Incident(
            id=self.number,
            rule=self.rule.id,
            kind=self.rule.kind,
            severity=self.rule.severity,
            title=self._headline(crash, guilty, what, is_open=is_open),
            signature=" ".join(part for part in (self.rule.kind, *place, self._unnamed(what, crash)) if part),
            first_line=self.first_line,
            last_line=self.last_line,
            kernel_time_s=self.first_time,
            open=is_open,
            complete=not is_open and self.complete,
            fatal=self.fatal,
            function=guilty.function if guilty else None,
            module=guilty.module if guilty else None,
            address=crash.address,
            crash=crash,
            hints=hints,
            lines=tuple(self._lines),
            secondary=is_secondary(crash, self.earlier),
            consequences=(self.rebooted,) if self.rebooted else (),
        )

    def _guilty(self, crash: Crash) -> Frame | None:
        named = self._groups.get("function")
        if named is None and (match := _SMASHED.search(crash.panic_reason or "")):
            named = match["function"]
        if self.rule.kind == "lockdep":
            reading = self.reader.reading()
            takes = reading.safe_place() if "-safe ->" in self._title else reading.takes
            if "still has locks held" in self._title or "held lock freed" in self._title:
                takes = reading.holds  # whoever took it and kept it
            first = next((frame for frame in takes if not is_machinery(frame.function, frame.module)), None)
            if first is not None:
                return guilty_frame(crash, self.rule.kind, first)
        if not named and not crash.frames and not self.rule.remains and self.rule.kind != "panic":
            crash = replace(crash, frames=self._guessed())
        if not named:
            overflow = self.rule.id == "stack-overflow" or "corrupted stack end" in (crash.panic_reason or "")
            return guilty_frame(crash, "stack-overflow" if overflow else self._sort())
        text = self._groups.get("offset") or ""
        offset = int(text, 16) if re.fullmatch(r"[0-9a-f]{1,16}", text) else None
        module = self._groups.get("module") or self._module_of(named)
        return guilty_frame(crash, self._sort(), Frame(named, offset, None, module))

    def _guessed(self) -> tuple[Frame, ...]:
        """What the kernel only found on the stack: all that old x86 kernels show, which keep no frame pointers."""
        found = (_GUESSED.search(text) for text in self._lines)
        return tuple(Frame(match["sym"], int(match["sym_off"], 16), None, match["sym_mod"]) for match in found if match)

    def _sort(self) -> str:
        """The kind, or which of the reports of this kind it is."""
        return next((sort for text, sort in _SORTS if text in self._title), self.rule.kind)

    def _module_of(self, function: str) -> str | None:
        return next(
            (frame.module for frame in self.reader.reading().frames(self.rule.kind) if frame.function == function), None
        )

    def _unnamed(self, what: str, crash: Crash) -> str:
        """What happened without its numbers and without the process: which one it hit is chance."""
        for comm in {self._groups.get("comm"), crash.comm} - {None, ""}:
            if comm and comm in what:
                what = re.sub(rf"(?<![\w-]){re.escape(comm)}(?![\w-])", "#", what)
        return normalised(what)

    def _what(self, crash: Crash) -> str:
        """What happened, without where: ``NULL pointer dereference``."""
        if self.rule.report != "oops" or self.rule.kind != "oops" or self.rule.id == "stack-overflow":
            return self._title
        if self.rule.remains:
            return _FIRST_LOST
        address = crash.address
        what = self.reader.reading().what
        if address is not None and address < NULL_PAGE and (what is None or "domain fault" in what or "pag" in what):
            return "NULL pointer dereference"
        if what is not None:
            return what
        code = crash.oops_code or self._groups.get("what") or "unknown cause"
        if status := re.fullmatch(r"(?:Oops: )?([0-9a-f]{1,8})", code):
            return f"fault with status {status[1]}"
        return re.sub(r": (?:0{1,8}|[0-9a-f]{16})$", "", code.removeprefix("Oops - ").removeprefix("Oops: "))

    def _headline(self, crash: Crash, guilty: Frame | None, what: str, *, is_open: bool) -> str:
        reason = crash.panic_reason
        if self.rule.kind == "panic":
            return self._title + _while(crash, guilty)
        at = f" at {crash.address:#x}" if crash.address is not None else ""
        where = f" in {guilty}" if guilty else ""
        if self.rule.kind == "oops":
            if self.rule.id == "oops-unhandled-fault" and not (is_open or crash.oops_number or crash.pc or reason):
                return f"unhandled fault: {what}{at}"  # without an Oops: a process got the signal
            then = ", then panic" if reason is not None else ", then a reboot" if self.rebooted else ""
            if what is _FIRST_LOST:
                return f"kernel oops{at}{where}{_while(crash, guilty)}{then} ({what})"
            return f"kernel oops{then}: {what}{at}{where}{_while(crash, guilty)}"
        then = f", then panic: {reason}" if reason is not None else ", then a reboot" if self.rebooted else ""
        if guilty and guilty.function in what:
            where = ""
        return f"{what}{where}{_while(crash, guilty)}{then}"


def _while(crash: Crash, guilty: Frame | None) -> str:
    """`` while unloading shepherd``, from the flags in ``Modules linked in:``."""
    for verb, modules in (
        ("unloading", [module.name for module in crash.modules if module.unloading]),
        ("loading", [module.name for module in crash.modules if module.loading]),
    ):
        if modules:
            name = guilty.module if guilty and guilty.module in modules else modules[0]
            return f" while {verb} {name}"
    return ""

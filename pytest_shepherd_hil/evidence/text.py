"""Evidence as text: for the failure message, and for the files beside it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.hints import taint_words
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytest_shepherd_hil.console.lines import ConsoleLine
    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.evidence.sources import CrashSources
    from pytest_shepherd_hil.kernel.incident import Frame, Incident
    from pytest_shepherd_hil.kernel.symbols import CrashSource
    from pytest_shepherd_hil.shell import ShellCall

__all__ = ["console_text", "incident_text", "incidents_text", "pins_text", "transcript_text"]

_EXCERPT_LINES = 12
_MOST_PLACES = 6
_NAMES_FIELD = re.compile(r"; (?:the )?DWARF (?:of \S+ )?names the field\.?$")
_FATAL = {
    "console-lost": "nothing more can be seen of the board",
    "unexpected-reboot": "what the test had built up on the board is gone",
}


def incident_text(
    incident: Incident, *, excerpt: bool = True, source: CrashSource | None = None, more: str = "console.txt"
) -> list[str]:
    """What a person wants to know about an incident after its headline, as lines.

    Args:
        excerpt: whether to show its console, cut in the middle where it is long; otherwise all of its code is.
        source: what symbols say of it.
        more: where the whole report can be read.
    """
    lines = [f"  {name:<9} {printable(value)}" for name, value in _facts(incident, source)]
    if source is not None:
        lines += _code(source, whole=not excerpt)
        lines += [f"  symbols   {printable(problem)}" for problem in source.problems]
    lines += [f"  hint      {printable(hint)}" for hint in _hints(incident, source)]
    if excerpt and incident.lines:
        lines.append("  console")
        lines += [f"  | {printable(line, 160)}" for line in _excerpt(incident.lines, more)]
    return lines


def _code(source: CrashSource, *, whole: bool) -> list[str]:
    """The ``Code:`` line disassembled, or of it the instruction that trapped."""
    if whole and source.code:
        return ["  code", *(f"  | {printable(str(instruction))}" for instruction in source.code)]
    return [f"  trapped   {printable(instruction.text)}" for instruction in source.code if instruction.trapping]


def _hints(incident: Incident, source: CrashSource | None) -> list[str]:
    """The judge's hints; with symbols, the one about the faulting address names the field."""
    field = source.field_hint if source is not None else None
    if field is None:
        return list(incident.hints)
    hints = [_NAMES_FIELD.sub(lambda _: f": {field}.", hint) for hint in incident.hints]
    return hints if hints != list(incident.hints) else [*hints, f"What lies at the faulting address is {field}."]


def _facts(incident: Incident, source: CrashSource | None) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    when = "" if incident.kernel_time_s is None else f", kernel time {incident.kernel_time_s:.6f} s"
    end = "" if incident.complete else ", cut off before its end"
    fatal = f", fatal: {_FATAL.get(incident.kind, 'the kernel does not go on')}" if incident.fatal else ""
    later = ", after an earlier crash or warning" if incident.secondary else ""
    facts.append(("kind", f"{incident.kind}{fatal}{later}{end}{when}"))
    crash = incident.crash
    if crash is not None:
        if crash.pc is not None:
            facts.append(("pc", f"{crash.pc}{_at(crash.pc, source)}{_called_from(incident)}"))
        if crash.lr is not None:
            facts.append(("lr", f"{crash.lr}{_at(crash.lr, source)}"))
        if crash.address is not None:
            facts.append(("address", f"{crash.address:#010x}{f' ({crash.access})' if crash.access else ''}"))
        running = [f"cpu {crash.cpu}"] if crash.cpu is not None else []
        if crash.comm is not None:
            running.append(f"{crash.comm} (pid {crash.pid})")
        if running:
            facts.append(("running", ", ".join(running)))
        if crash.kernel:
            facts.append(("kernel", f"{crash.kernel}{f', {crash.hardware}' if crash.hardware else ''}"))
        taint = taint_words(crash.taint or "")
        if taint:
            facts.append(("taint", taint))
        if crash.frames:
            chain = [str(frame) for frame in crash.frames[:6]]
            more = len(crash.frames) - len(chain)
            facts.append(("trace", " < ".join(chain) + (f" < … {more} more" if more > 0 else "")))
            shown = [frame for frame in dict.fromkeys(crash.frames) if frame not in (crash.pc, crash.lr)]
            places = [f"{frame}{place}" for frame in shown if (place := _at(frame, source))]
            facts += [("source", place) for place in places[:_MOST_PLACES]]
    facts += [("then", consequence) for consequence in incident.consequences]
    return facts


def _at(frame: Frame, source: CrashSource | None) -> str:
    place = source.place(frame) if source is not None else None
    return f" at {place}" if place is not None else ""


def _called_from(incident: Incident) -> str:
    return ", in interrupt" if incident.crash is not None and incident.crash.in_interrupt else ""


def _excerpt(lines: Sequence[str], more: str) -> list[str]:
    """The beginning and the end of a report: what names the cause, and how it ended."""
    if len(lines) <= _EXCERPT_LINES:
        return list(lines)
    head = _EXCERPT_LINES - 3
    return [*lines[:head], f"… {len(lines) - head - 2} more lines: {more}", *lines[-2:]]


def pins_text(pins: Sequence[str]) -> list[str]:
    """What a logic analyzer saw, as lines that follow those of :func:`incident_text`."""
    return [f"  {'capture' if not number else '':<9} {printable(text)}" for number, text in enumerate(pins)]


def incidents_text(
    test: str,
    board: str,
    incidents: Sequence[Incident],
    sources: CrashSources | None = None,
    pins: Sequence[str] = (),
) -> str:
    """``incident.txt``: every incident of a test, with its whole report.

    Args:
        test: its node id.
        board: name of the board.
        incidents: those charged to the test.
        sources: what symbols say of crashes.
        pins: what the logic analyzer saw, in words.
    """
    blocks = ["\n".join([f"test   {printable(test)}", f"board  {board}", *pins_text(pins)]) + "\n"]
    for incident in incidents:
        source = sources.of(incident) if sources is not None else None
        block = [printable(incident.headline(board)), *incident_text(incident, excerpt=False, source=source), ""]
        block += [f"  | {printable(line)}" for line in incident.lines]
        blocks.append("\n".join(block) + "\n")
    return "\n".join(blocks)


def console_text(log: ConsoleLog, lines: Sequence[ConsoleLine], marks: Collection[int]) -> str:
    """``console.txt``: line number, wall clock (UTC) and text; lines of an incident are marked with ``!``."""
    rows = ["# line  wall clock (UTC)  console; '!' marks the lines of an incident"]
    for line in lines:
        wall = log.wall(line.time_ns).strftime("%H:%M:%S.%f")[:-3]
        mark = "!" if line.number in marks else " "
        rows.append(f"{line.number:6d} {wall} {mark} {printable(line.text, 4000)}")
    return "\n".join(rows) + "\n"


def transcript_text(log: ConsoleLog, calls: Sequence[ShellCall]) -> str:
    """``shell.txt``: what the shell ran, when, how it ended and what it printed."""
    rows = []
    for call in calls:
        rows.append(f"{log.wall(call.started_ns).strftime('%H:%M:%S.%f')[:-3]} $ {printable(call.command, 2000)}")
        if call.result is not None:
            rows += [f"    {printable(line)}" for line in call.result.stdout.splitlines()[-200:]]
            rows += [f"    stderr: {printable(line)}" for line in call.result.stderr.splitlines()[-200:]]
            rows.append(f"    exit status {call.result.exit_status} after {call.result.duration_s:.3f} s")
        elif call.error is not None:
            rows += [f"    {printable(line)}" for line in (*call.error.splitlines(), *call.so_far)]
        else:
            rows.append("    was still running")
    return "\n".join(rows or ["nothing was run"]) + "\n"

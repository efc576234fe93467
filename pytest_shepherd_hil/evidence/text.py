"""Evidence as text: for the failure message, and for the files beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.hints import taint_words
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pytest_shepherd_hil.console.log import ConsoleLine, ConsoleLog
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.shell import ShellCall

__all__ = ["console_text", "incident_text", "incidents_text", "transcript_text"]

_EXCERPT_LINES = 12
_FATAL = {
    "console-lost": "nothing more can be seen of the board",
    "unexpected-reboot": "what the test had built up on the board is gone",
}


def incident_text(incident: Incident, *, excerpt: bool = True) -> list[str]:
    """What a person wants to know about an incident after its headline, as lines."""
    lines = [f"  {name:<9} {printable(value)}" for name, value in _facts(incident)]
    lines += [f"  hint      {printable(hint)}" for hint in incident.hints]
    if excerpt and incident.lines:
        lines.append("  console")
        lines += [f"  | {printable(line, 160)}" for line in _excerpt(incident.lines)]
    return lines


def _facts(incident: Incident) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    when = "" if incident.kernel_time_s is None else f", kernel time {incident.kernel_time_s:.6f} s"
    end = "" if incident.complete else ", cut off before its end"
    fatal = f", fatal: {_FATAL.get(incident.kind, 'the kernel does not go on')}" if incident.fatal else ""
    facts.append(("kind", f"{incident.kind}{fatal}{end}{when}"))
    crash = incident.crash
    if crash is not None:
        if crash.pc is not None:
            facts.append(("pc", f"{crash.pc}{_called_from(incident)}"))
        if crash.lr is not None:
            facts.append(("lr", str(crash.lr)))
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
    facts += [("then", consequence) for consequence in incident.consequences]
    return facts


def _called_from(incident: Incident) -> str:
    return ", in interrupt" if incident.crash is not None and incident.crash.in_interrupt else ""


def _excerpt(lines: Sequence[str]) -> list[str]:
    """The beginning and the end of a report: what names the cause, and how it ended."""
    if len(lines) <= _EXCERPT_LINES:
        return list(lines)
    head = _EXCERPT_LINES - 3
    return [*lines[:head], f"… {len(lines) - head - 2} more lines: console.txt", *lines[-2:]]


def incidents_text(test: str, board: str, incidents: Sequence[Incident]) -> str:
    """``incident.txt``: every incident of a test, with its whole report."""
    blocks = [f"test   {printable(test)}\nboard  {board}\n"]
    for incident in incidents:
        block = [printable(incident.headline(board)), *incident_text(incident, excerpt=False), ""]
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

"""What the report of a stall says beside its trace: task and cpu of its headline, the work that holds up a pool."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.incident import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Final

    from pytest_shepherd_hil.kernel.incident import Crash

__all__ = ["in_flight", "is_whole", "of_headline", "work_hints"]

_WATCHED: Final = frozenset({"hung-task", "soft-lockup", "hard-lockup", "workqueue-lockup"})
"""Kinds whose report may be printed by another task, or cpu, than the one that does not go on."""
_MAX_WORKS = 16
_PWQ = re.compile(r" {2}pwq \d{1,10}: ?(?P<pool>cpus=\S{1,64})")
_IN_FLIGHT = re.compile(r" {4}in-flight: (?P<works>.{1,600})")
# pid, RESCUER where it is the queue's own thread, function, module; barriers and times stand behind it.
_WORK = re.compile(
    r"(?:^| |, )(?P<pid>\d{1,10})(?:\(RESCUER\))?:(?P<function>[A-Za-z_][\w.]{0,127})(?: \[(?P<module>[\w-]{1,64})\])?"
)
_POOL_LINE = re.compile(r"(?:^|\] )pool \d{1,10}: .{0,120}\bhung=")

Work = tuple[int, Frame]
"""The pid of a worker, and the function that it runs."""


def of_headline(crash: Crash, kind: str, groups: Mapping[str, str | None]) -> Crash:
    """The crash with the cpu and the task that the headline names.

    Args:
        crash: what the lines of the report say.
        kind: of the incident.
        groups: what the pattern of the rule found in the headline: ``cpu``, ``pid``, ``comm``, ``pool``.
    """
    if kind not in _WATCHED:
        return crash
    if kind == "hung-task":  # it runs nowhere: a cpu in its report is the one of the watchdog
        crash = replace(crash, cpu=None, pid=None, comm=None)
    cpu, pid = groups.get("cpu"), groups.get("pid")
    if match := re.fullmatch(r" ?cpus=(\d{1,5})", groups.get("pool") or ""):
        cpu = match[1]
    if cpu and cpu.isdecimal():
        crash = replace(crash, cpu=int(cpu))
    if pid and pid.isdecimal():
        crash = replace(crash, pid=int(pid), comm=groups.get("comm") or None)
    return crash


def in_flight(lines: Iterable[str], pool: str | None) -> list[Work]:
    """The works that the workers of the stuck pool run, from the list of busy workqueues.

    Args:
        lines: of the report, as printed.
        pool: of the headline, as printed: ``cpus=0``; None: all pools.
    """
    found: list[Work] = []
    wanted = True
    for line in lines:
        if match := _PWQ.search(line):
            wanted = pool is None or match["pool"] == pool.strip()
        elif wanted and (match := _IN_FLIGHT.search(line)):
            for work in _WORK.finditer(match["works"]):
                entry = int(work["pid"]), Frame(work["function"], module=work["module"])
                if entry not in found and len(found) < _MAX_WORKS:
                    found.append(entry)
    return found


def is_whole(lines: Iterable[str]) -> bool:
    """Whether the list of busy workqueues has come to its last part, the pools."""
    return any(_POOL_LINE.search(line) for line in lines)


def work_hints(works: list[Work]) -> tuple[str, ...]:
    """What the workers of the stuck pool were doing, as the kernel printed it."""
    if not works:
        return ()
    running = ", ".join(f"{work} (worker {pid})" for pid, work in works)
    return (f"In flight at that moment: {running}.",)

"""Damaged consoles: crashes are found from what is left of them, and damage to a healthy log raises no alarm."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

import pytest

from pytest_shepherd_hil.kernel.incident import Severity
from pytest_shepherd_hil.kernel.scan import scan_bytes
from tests.requirements import SHARED, require
from tests.unit.kernel.damage import DAMAGE
from tests.unit.kernel.kernel_console import OOPS_6_1, RULES, WARNING, judge, seed

FOLDER = Path(__file__).parents[2] / "data" / "kernel"


def _damaged(name: str, log: str, data: bytes) -> bytes:
    function, strength, _ = DAMAGE[name]
    return function(data, strength, random.Random(zlib.crc32(f"{name} {log}".encode())))


def _alarms(data: bytes) -> list[str]:
    return [incident.title for incident in scan_bytes(data, RULES) if incident.severity is Severity.FAIL]


@require("shared")
@pytest.mark.parametrize("name", DAMAGE)
def test_crashes_of_the_corpus_are_found_in_spite_of_damage(name: str) -> None:
    with (SHARED / "corpus" / "kernel-logs.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    crashes = [row for row in rows if row["is_crash"]][::4]
    missed = [row["id"] for row in crashes if not _alarms(_damaged(name, row["id"], row["text"].encode()))]
    alarms = [
        (row["id"], found)
        for row in rows
        if not row["is_crash"] and (found := _alarms(_damaged(name, row["id"], row["text"].encode())))
    ]
    assert 1 - len(missed) / len(crashes) >= DAMAGE[name][2], missed
    assert alarms == []


@pytest.mark.parametrize("name", [name for name in DAMAGE if name not in ("lose_start", "lose_end")])
def test_the_boards_own_faults_are_found_in_spite_of_damage(name: str) -> None:
    wrong = []
    logs = sorted(FOLDER.glob("*.log"))
    for log in logs:
        answer = json.loads(log.with_suffix(".json").read_text())
        found = bool(_alarms(_damaged(name, log.stem, log.read_bytes())))
        if found != bool(answer["incidents"]):
            wrong.append(log.stem)
    assert len(wrong) <= len(logs) / 10, wrong  # some faults have one line only


@pytest.mark.parametrize("text", [OOPS_6_1, WARNING, seed("unload-panic")], ids=["6.1", "warning", "4.19"])
def test_each_end_of_a_report_that_has_a_place_in_it_is_found(text: str) -> None:
    lines = text.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if "Modules linked in" in line)
    ends = ("end trace", "Rebooting in")
    last = next(number for number in range(len(lines) - 1, -1, -1) if any(end in lines[number] for end in ends))
    for first in range(start, last):
        rest = "".join(lines[first:])
        incidents = judge(rest)
        assert len(incidents) == 1, rest
        assert not incidents[0].complete or incidents[0].kind == "panic"


def _console(*messages: str) -> str:
    return "".join(f"[  100.{number:06d}] {message}\n" for number, message in enumerate(messages))


TRACE = ("Call Trace:", " dump_stack+0x10/0x20", " demo_read+0x10/0x90", " vfs_read+0x10/0x90", " ksys_read+0x10/0x90")


@pytest.mark.parametrize(
    "before",
    [
        "FAULT_INJECTION: forcing a failure.", "sysrq: Show State", "SysRq : Show backtrace of all active CPUs",
        "demo[77]: segfault at 8 ip 00000000004005d6 sp 00007ffe error 4 in demo[400000+1000]",
        "potentially unexpected fatal signal 11.", "demo: something is odd",
    ],
)  # fmt: skip
def test_a_trace_that_somebody_asked_for_is_no_crash(before: str) -> None:
    assert (
        judge(_console(before, "CPU: 1 PID: 77 Comm: demo Not tainted 6.1.0 #1", "Hardware name: demo", *TRACE)) == []
    )


def test_a_trace_of_what_reports_faults_is_a_crash() -> None:
    (incident,) = judge(
        _console("CPU: 1 PID: 77 Comm: demo Not tainted 6.1.0 #1", *TRACE[:2], " __warn+0x1/0x2", *TRACE[2:])
    )
    assert (incident.kind, incident.function, incident.complete) == ("oops", "demo_read", False)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("The buggy address belongs to the object at c0ffee00", "kasan"),
        ("the existing dependency chain (in reverse order) is:", "lockdep"),
        ("rcu: rcu_preempt kthread starved for 2100 jiffies! g1 f0x0", "rcu-stall"),
        ("index 16 is out of range for type 'char [16]'", "ubsan"),
        ('"echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.', "hung-task"),
        ("ernel panic - not syncing: Fatal exception", "panic"),
        ("Rebooting in 10 seconds..", "panic"),
        ("to handle kernel NULL pointer dereference at virtual address 000001c1", "oops"),
    ],
)
def test_one_line_can_be_enough(line: str, kind: str) -> None:
    (incident,) = judge(_console("demo: fine", line, "demo: fine"))
    assert (incident.kind, incident.severity, incident.complete) == (kind, Severity.FAIL, False)


def test_what_comes_right_after_a_report_is_no_second_one() -> None:
    assert len(judge(WARNING + WARNING.splitlines(keepends=True)[3] + WARNING.splitlines(keepends=True)[-1])) == 1


def test_a_damaged_first_line_of_a_boot_is_no_reboot() -> None:
    boot = (
        "[    0.000000] Bootong Linux on physical CPU 0x0\n[    0.000000] Linux version 6.1.0 (demo@demo) (gcc) #1\n"
        "[    0.000000] Linux version 6.1.0 (demo@demo) (gcc) #1\n[    0.500000] demo: fine\n"
    )
    assert judge(boot) == []

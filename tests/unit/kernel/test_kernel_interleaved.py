"""Two cpus report at once: each line goes to its own report, told by the caller that printk shows."""

from __future__ import annotations

from itertools import chain, zip_longest

from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.lines import parse_line
from pytest_shepherd_hil.kernel.scan import scan_bytes
from tests.unit.kernel.kernel_console import RULES, judge, judge_chunks, last_words


def oops(function: str, address: int, number: int, taint: str = "Not tainted") -> list[str]:
    return [
        f"BUG: unable to handle page fault for address: {address:016x}",
        f"Oops: 0002 [#{number}] PREEMPT SMP",
        f"CPU: {number} PID: 10{number} Comm: sh {taint} 6.1.0 #1",
        f"RIP: 0010:{function}+0x10/0x20",
        "Call Trace:",
        *(f" {function}_caller_{index}+0x1/0x2" for index in range(6)),
        f"---[ end trace 000000000000000{number} ]---",
    ]


def console(messages: list[tuple[str, str]]) -> str:
    return "\n".join(f"[   12.{i:06d}][{caller:>6}] {message}" for i, (caller, message) in enumerate(messages)) + "\n"


def interleaved(one: list[str], other: list[str], lag: int = 2) -> str:
    first = [("T101", message) for message in one]
    second = [None] * lag + [("C1", message) for message in other]
    return console([pair for pair in chain(*zip_longest(first, second)) if pair])


def test_two_reports_line_by_line_in_turn_are_two_whole_incidents() -> None:
    text = interleaved(oops("demo_write", 0xFFFF000000000010, 1), oops("other_irq", 0xFFFF000000000020, 2))
    one, other = judge(text)
    assert (one.function, one.address, one.complete) == ("demo_write", 0xFFFF000000000010, True)
    assert (other.function, other.address, other.complete) == ("other_irq", 0xFFFF000000000020, True)
    for incident in (one, other):
        assert incident.crash is not None
        assert len(incident.crash.frames) == 7
        assert {frame.function.partition("_caller")[0] for frame in incident.crash.frames} == {incident.function}
    assert scan_bytes(text.encode(), RULES) == last_words(judge_chunks([text.encode()]))


def test_a_report_that_is_cut_beside_another_is_not_lost() -> None:
    text = interleaved(oops("demo_write", 0x10, 1)[:7], oops("other_irq", 0x20, 2)[:7])
    assert [(i.function, i.open, i.complete) for i in judge(text)] == [
        ("demo_write", False, False),
        ("other_irq", False, False),
    ]


def test_without_callers_the_second_report_ends_the_first() -> None:
    messages = oops("demo_write", 0x10, 1)[:7] + oops("other_irq", 0x20, 2)
    text = "\n".join(f"[   12.{i:06d}] {message}" for i, message in enumerate(messages))
    assert [(i.function, i.complete) for i in judge(text)] == [("demo_write", False), ("other_irq", True)]


def test_what_the_other_cpus_say_when_asked_is_of_the_same_report() -> None:
    text = console(
        [
            ("C0", "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
            ("C0", "Sending NMI from CPU 0 to CPUs 1:"),
            ("C1", "NMI backtrace for cpu 1"),
            ("C1", "CPU: 1 PID: 7 Comm: sh Not tainted 6.1.0 #1"),
            ("C1", "Call Trace:"),
            ("C1", " demo_loop+0x10/0x20"),
            ("C1", " call_timer_fn+0x10/0x20"),
        ]
    )
    (incident,) = judge(text)
    assert (incident.kind, incident.function, incident.last_line) == ("rcu-stall", "demo_loop", 6)


def test_many_reports_at_once_are_bounded_and_none_is_lost() -> None:
    detector = Detector(RULES)
    messages = [(f"T{caller}", line) for line in oops("demo", 0x10, 1)[:6] for caller in range(20)]
    lines = console(messages).encode().splitlines()
    out = [incident for number, line in enumerate(lines) for incident in detector.feed(parse_line(line, number))]
    out += detector.flush()
    assert {incident.id for incident in out} == {incident.id for incident in out if not incident.open}
    assert not detector.pending


def test_crashes_after_the_first_are_secondary_and_have_the_same_signature() -> None:
    first, second = judge(
        console([("T1", line) for line in oops("demo", 0x10, 1) + oops("demo", 0x10, 2, "Tainted: G      D W  ")])
    )
    assert (first.secondary, second.secondary) == (False, True)
    assert first.signature == second.signature
    (late,) = judge(console([("T1", line) for line in oops("demo", 0x10, 1, "Tainted: G        W  ")]))
    assert late.secondary

"""Reports of many lines, in the shapes of a real ARM 6.1 board: what belongs to one, its kind, whose fault it is."""

from __future__ import annotations

import pytest

from tests.unit.kernel.kernel_console import judge

CPU = "CPU: 0 PID: 100 Comm: sh Tainted: G           OE      6.1.0-50-armmp #1  Debian 6.1.176-1"
HARDWARE = "Hardware name: Generic DT based system"
STACK = [" unwind_backtrace from show_stack+0x18/0x1c", " show_stack from dump_stack_lvl+0x40/0x4c"]
MODULE = [" faulty [demo] from trigger_write+0x110/0x1a4 [demo]", " trigger_write [demo] from vfs_write+0xbc/0x394"]
MEMORY = [
    "Mem-Info:",
    "active_anon:910 inactive_anon:462 isolated_anon:0",
    "DMA: 2*4kB (UM) 4*8kB (ME)",
    "Free swap  = 0kB",
]
CUT = "------------[ cut here ]------------"
END = "---[ end trace 0000000000000000 ]---"
KILLED = "Out of memory: Killed process 100 (sh) total-vm:1556kB, anon-rss:4kB"


def console(*parts: str | list[str]) -> str:
    messages = [message for part in parts for message in ([part] if isinstance(part, str) else part)]
    return "\n".join(f"[   12.{i:06d}] {message}" for i, message in enumerate(messages))


def trace(*through: str) -> list[str]:
    return [CPU, HARDWARE, *STACK, *(f" {name}" for name in through), *MODULE]


def test_running_out_of_memory_is_one_incident_from_the_call_to_the_kill() -> None:
    text = console(
        "sh invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=1000",
        trace("dump_stack_lvl from dump_header+0x50/0x20c", "out_of_memory from __alloc_pages+0xe18/0x1094"),
        MEMORY,
        "Tasks state (memory values in pages):",
        "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
        "[     93]     0    93      840      164    12288        0             0 dropbear",
        KILLED,
        "sh: page allocation failure: order:0, mode:0xcc0(GFP_KERNEL), nodemask=(null),cpuset=/",
        trace("warn_alloc from __alloc_pages+0xf04/0x1094"),
        MEMORY,
    )
    (incident,) = judge(text)
    assert (incident.kind, incident.function, incident.module) == ("oom", "faulty", "demo")
    assert incident.last_line == len(text.splitlines()) - 1
    assert incident.consequences == ("page allocation failure of order 0 in faulty [demo]",)


def test_the_last_line_of_running_out_of_memory_is_enough() -> None:
    (incident,) = judge(KILLED)
    assert (incident.kind, incident.title) == ("oom", "out of memory: killed sh")


def test_a_failed_page_allocation_names_who_asked() -> None:
    (incident,) = judge(
        console(
            "sh: page allocation failure: order:11, mode:0xcc0(GFP_KERNEL)",
            trace("warn_alloc from __alloc_pages+0xf04/0x1094"),
            MEMORY,
        )
    )
    assert (incident.kind, incident.function, len(incident.lines)) == ("page-alloc-failure", "faulty", 12)


def test_a_division_by_zero_is_a_bug() -> None:
    (incident,) = judge(console("Division by zero in kernel.", trace("dump_stack_lvl from Ldiv0_64+0x8/0x18")))
    assert (incident.kind, incident.function, incident.complete) == ("bug", "faulty", True)


def test_list_corruption_and_the_bug_it_raises_are_one() -> None:
    text = console(
        "list_del corruption, d0999e30->next is LIST_POISON1 (00000100)",
        CUT,
        "kernel BUG at lib/list_debug.c:53!",
        "Internal error: Oops - BUG: 0 [#1] SMP ARM",
        "PC is at __list_del_entry_valid+0xb8/0xd0",
        " __list_del_entry_valid from faulty+0x88/0xc0 [demo]",
        MODULE,
        END,
    )
    (incident,) = judge(text)
    assert (incident.kind, incident.function, incident.first_line) == ("list-corruption", "faulty", 0)
    assert incident.crash is not None
    assert incident.crash.oops_number == 1


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("refcount_t: underflow; use-after-free.", "refcount"),
        ("refcount_t: saturated; leaking memory.", "refcount"),
        ("refcount_t: addition on 0; use-after-free.", "refcount"),
        ("refcount_t: decrement hit 0; leaking memory.", "refcount"),
        ("list_add corruption. prev->next should be next (c1), but was c2. (prev=c3).", "list-corruption"),
        ("demo: a warning on demand", "warning"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_what_a_warning_says_decides_its_kind(message: str, kind: str, *, first: bool) -> None:
    warning = "WARNING: CPU: 1 PID: 99 at lib/refcount.c:28 refcount_warn_saturate+0xb4/0xbc"
    head = [message, CUT, warning] if first else [CUT, warning, message]
    (incident,) = judge(console(head, trace("__warn from warn_slowpath_fmt+0x128/0x198"), END))
    assert (incident.kind, incident.function) == (kind, "faulty")


def test_who_slept_in_atomic_context_is_not_msleep() -> None:
    (incident,) = judge(
        console(
            "BUG: scheduling while atomic: sh/99/0x00000200",
            trace("schedule from msleep+0x28/0x34", "msleep from faulty+0x24/0x2c [demo]"),
        )
    )
    assert (incident.kind, incident.function) == ("atomic-sleep", "faulty")


def test_a_return_address_at_the_start_of_a_function_names_nobody() -> None:
    panic = "Kernel panic - not syncing: sysrq triggered crash"
    (incident,) = judge(
        console(panic, CPU, STACK, " panic from sysrq_reset_seq_param_set+0x0/0x90", "CPU0: stopping", CPU, STACK)
    )
    assert (incident.kind, incident.function, incident.fatal) == ("panic", None, True)
    (incident,) = judge(
        console(
            panic,
            CPU,
            STACK,
            " panic from next_in_file+0x0/0x90 [demo]",
            " next_in_file [demo] from faulty+0x8/0x20 [demo]",
        )
    )
    assert incident.function == "faulty"


def hung(seconds: int, comm: str = "sh") -> list[str]:
    return [
        f"INFO: task {comm}:101 blocked for more than {seconds} seconds.",
        f"task:{comm}              state:D stack:0     pid:101   ppid:99     flags:0x00000004",
        " __schedule from schedule+0x54/0xe8",
        " schedule from schedule_timeout+0x98/0x158",
        " schedule_timeout from faulty+0x18/0x20 [demo]",
    ]


def test_a_task_that_stays_hung_is_one_incident_and_two_tasks_are_two() -> None:
    (incident,) = judge(console(hung(4), hung(8), hung(12)))
    assert incident.title == "hung task: sh blocked for more than 4 s in faulty+0x18 [demo]"
    assert [text.split(" in ")[0] for text in incident.consequences] == [
        "hung task: sh blocked for more than 8 s",
        "hung task: sh blocked for more than 12 s",
    ]
    assert incident.last_line == 14
    assert len(judge(console(hung(4), hung(4, "cat")))) == 2


def test_a_task_that_hangs_until_the_panic_is_fatal() -> None:
    (incident,) = judge(console(hung(4), hung(8), "Kernel panic - not syncing: hung_task: blocked tasks"))
    assert incident.fatal
    assert incident.title.endswith(", then panic: hung_task: blocked tasks")


def test_a_stall_is_not_the_watchdogs_fault() -> None:
    (incident,) = judge(
        console(
            "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
            "Sending NMI from CPU 0 to CPUs 1:",
            "NMI backtrace for cpu 1",
            CPU,
            "PC is at touch_softlockup_watchdog+0x0/0x18",
            "LR is at faulty+0x68/0xd4 [demo]",
            " touch_softlockup_watchdog from faulty+0x68/0xd4 [demo]",
            MODULE,
        )
    )
    assert (incident.kind, incident.function, incident.module) == ("rcu-stall", "faulty", "demo")


def test_an_interrupt_that_ran_before_is_told_from_the_task() -> None:
    (incident,) = judge(
        console(
            "BUG: unable to handle page fault for address: ffffc90000bad000",
            "Oops: 0002 [#1] PREEMPT SMP",
            "RIP: 0010:in_timer+0x10/0x20",
            "Call Trace:",
            " <IRQ>",
            " call_timer_fn+0x1/0x2",
            " </IRQ>",
            " <TASK>",
            " vfs_read+0x1/0x2",
            END,
        )
    )
    assert incident.crash is not None
    assert [(frame.function, frame.context) for frame in incident.crash.frames] == [
        ("in_timer", None),
        ("call_timer_fn", "irq"),
        ("vfs_read", None),
    ]
    assert incident.function == "in_timer"

"""Reports of what does not go on: whom they name."""

from __future__ import annotations

from pytest_shepherd_hil.kernel.scan import scan_bytes
from tests.unit.kernel.kernel_console import judge

HUNG = """\
[  245.000000] INFO: task modprobe:1726 blocked for more than 120 seconds.
[  245.000100]       Tainted: G           O      4.19.94-ti-r73 #1focal
[  245.000200] "echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.
[  245.000300] modprobe        D    0  1726      1 0x00000000
[  245.000400] [<c0112264>] (__schedule) from [<c010d0d4>] (schedule+0x20/0x24)
[  245.000500] [<c010d0d4>] (schedule) from [<bf19b018>] (pru_rproc_stop+0x84/0x104 [pru_rproc])
[  245.000600] NMI backtrace for cpu 0
[  245.000700] CPU: 0 PID: 23 Comm: khungtaskd Tainted: G           O      4.19.94-ti-r73 #1focal
"""
WORKQUEUE = """\
[  100.000000] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 30s!
[  100.000100] Showing busy workqueues and worker pools:
[  100.000200] workqueue events: flags=0x0
[  100.000300]   pwq 2: cpus=1 node=0 flags=0x0 nice=0 active=1/256 refcnt=2
[  100.000400]     in-flight: 45:other_work
[  100.000500]   pwq 0: cpus=0 node=0 flags=0x0 nice=0 active=2/256 refcnt=3
[  100.000600]     in-flight: 12:demo_work [demo]
[  100.000700]     pending: vmstat_shepherd
[  100.000800] workqueue mm_percpu_wq: flags=0x8
[  100.000900]   pwq 0: cpus=0 node=0 flags=0x0 nice=0 active=1/256 refcnt=2
[  100.001000]     pending: vmstat_update
[  100.001100] pool 0: cpus=0 node=0 flags=0x0 nice=0 hung=30s workers=3 idle: 5 1234
"""
BACKTRACE = """\
[  100.002000] Showing backtraces of running workers in stalled CPU-bound worker pools:
[  100.002100] pool 0:
[  100.002200] task:kworker/0:1     state:R  running task     stack:0     pid:12    ppid:2      flags:0x00004008
[  100.002300] Workqueue: events demo_work [demo]
[  100.002400] Call Trace:
[  100.002500]  <TASK>
[  100.002600]  delay_tsc+0x20/0x60
[  100.002700]  demo_work+0x20/0x60 [demo]
[  100.002800]  process_one_work+0x174/0x330
[  100.002900]  worker_thread+0x272/0x3c0
"""


def test_a_hung_task_is_the_one_of_the_headline_and_not_who_watches() -> None:
    (incident,) = judge(HUNG)
    crash = incident.crash
    assert crash is not None
    assert (crash.pid, crash.comm, crash.cpu) == (1726, "modprobe", None)
    assert (crash.taint, crash.kernel) == ("GO", "4.19.94-ti-r73 #1focal")


def test_a_task_that_has_a_colon_in_its_name_keeps_it() -> None:
    (incident,) = judge(HUNG.replace("task modprobe:1726", "task kworker/u4:1:1726"))
    assert incident.crash is not None
    assert (incident.crash.pid, incident.crash.comm) == (1726, "kworker/u4:1")


def test_a_workqueue_lockup_names_the_work_of_its_own_pool() -> None:
    (incident,) = judge(WORKQUEUE)
    assert incident.title == "workqueue lockup: pool cpus=0 stuck for 30 s in demo_work [demo]"
    assert (incident.function, incident.module, incident.complete) == ("demo_work", "demo", True)
    assert incident.crash is not None
    assert (incident.crash.cpu, incident.crash.pid) == (0, 12)
    assert incident.hints == ("In flight at that moment: demo_work [demo] (worker 12).",)


def test_the_trace_of_a_worker_says_where_its_work_is() -> None:
    (incident,) = judge(WORKQUEUE + BACKTRACE)
    assert incident.title == "workqueue lockup: pool cpus=0 stuck for 30 s in demo_work+0x20 [demo]"
    assert incident.crash is not None
    assert incident.crash.pid == 12


def test_of_several_works_none_is_called_guilty_but_all_are_shown() -> None:
    several = "12:demo_work [demo], 34(RESCUER):write_back BAR(77) for 30s"
    (incident,) = judge(WORKQUEUE.replace("12:demo_work [demo]", several))
    assert incident.function is None
    assert incident.hints == ("In flight at that moment: demo_work [demo] (worker 12), write_back (worker 34).",)


def test_a_pool_that_runs_nothing_names_nobody() -> None:
    (incident,) = judge("".join(line for line in WORKQUEUE.splitlines(keepends=True) if " 12:demo" not in line))
    assert (incident.function, incident.hints) == (None, ())


def test_two_pools_that_are_stuck_are_two_incidents() -> None:
    other = WORKQUEUE.replace("[  100.", "[  101.").replace("pool cpus=0", "pool cpus=1")
    first, second = judge(WORKQUEUE + other)
    assert (first.function, second.function) == ("demo_work", "other_work")
    again = WORKQUEUE.replace("[  100.", "[  131.").replace("stuck for 30s", "stuck for 61s")
    (one,) = judge(WORKQUEUE + again)
    assert one.consequences == ("workqueue lockup: pool cpus=0 stuck for 61 s in demo_work [demo]",)


def soft_lockup(time_s: float, stuck_s: int = 22, *, cpu: int = 0, pid: int = 1726, function: str = "demo_loop") -> str:
    return report(
        time_s,
        f"watchdog: BUG: soft lockup - CPU#{cpu} stuck for {stuck_s}s! [modprobe:{pid}]",
        *trace(cpu, pid, function),
    )


def rcu_stall(time_s: float, *, cpu: int = 0, pid: int = 1726, function: str = "demo_loop") -> str:
    return report(
        time_s,
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        f"rcu: \t{cpu}-....: (5249 ticks this GP) idle=7c4/1/0x40000002 softirq=1133/1133 fqs=2500",
        "rcu: \t(t=5250 jiffies g=617 q=9 ncpus=1)",
        *trace(cpu, pid, function),
    )


def trace(cpu: int, pid: int, function: str) -> list[str]:
    return [
        f"CPU: {cpu} PID: {pid} Comm: modprobe Tainted: G           O       6.1.0-18-armmp #1  Debian 6.1.76-1",
        "Hardware name: Generic DT based system",
        f"PC is at {function}+0x10/0x40 [demo]",
        f" {function} [demo] from do_one_initcall+0x44/0x240",
        " do_one_initcall from sys_init_module+0x60/0x1f8",
        " sys_init_module from ret_fast_syscall+0x0/0x54",
    ]


def report(time_s: float, *messages: str) -> str:
    return "".join(f"[{time_s + i / 1e4:12.6f}] {message}\n" for i, message in enumerate(messages))


def test_two_watchdogs_that_see_one_loop_are_one_incident() -> None:
    text = rcu_stall(100) + soft_lockup(101.5) + soft_lockup(125) + rcu_stall(163)
    (incident,) = judge(text)
    assert (incident.kind, incident.function, incident.id) == ("rcu-stall", "demo_loop", 1)
    assert incident.consequences == (
        "soft lockup: CPU 0 stuck for 22 s in modprobe in demo_loop+0x10 [demo]",
        "soft lockup: CPU 0 stuck for 22 s in modprobe in demo_loop+0x10 [demo]",
        "RCU stall (rcu_preempt) in demo_loop+0x10 [demo]",
    )
    assert incident.last_line == len(text.splitlines()) - 1
    assert scan_bytes(text.encode()) == [incident]


def test_a_loop_that_lasts_since_then_is_the_same_whatever_else_is_printed() -> None:
    others = report(105, *(f"usb 1-1: number {i}" for i in range(30)))
    (incident,) = judge(rcu_stall(100) + others + soft_lockup(121, 22))
    assert incident.consequences == ("soft lockup: CPU 0 stuck for 22 s in modprobe in demo_loop+0x10 [demo]",)
    assert len(judge(soft_lockup(100) + others + rcu_stall(121))) == 2


def test_what_may_be_another_loop_is_another_incident() -> None:
    first = rcu_stall(100)
    for other in (
        soft_lockup(101.5, cpu=1, pid=1800),
        soft_lockup(101.5, pid=1800),
        soft_lockup(101.5, function="other_loop"),
        soft_lockup(190),
        report(105, *(f"usb 1-1: number {i}" for i in range(30))) + soft_lockup(150, 22),
    ):
        assert [incident.kind for incident in judge(first + other)] == ["rcu-stall", "soft-lockup"]


def test_a_panic_in_the_second_report_is_the_end_of_the_first() -> None:
    panic = report(101.6, "Kernel panic - not syncing: softlockup: hung tasks")
    (incident,) = judge(rcu_stall(100) + soft_lockup(101.5) + panic)
    assert (incident.kind, incident.fatal) == ("rcu-stall", True)
    assert incident.title.endswith("then panic: softlockup: hung tasks")


def test_the_worker_of_a_stuck_pool_is_the_one_that_loops() -> None:
    loop = soft_lockup(99.9, pid=12, function="demo_work")
    (incident,) = judge(loop + WORKQUEUE)
    assert (incident.kind, len(incident.consequences)) == ("soft-lockup", 1)

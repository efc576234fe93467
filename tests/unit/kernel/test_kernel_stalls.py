"""Reports of what does not go on: whom they name."""

from __future__ import annotations

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

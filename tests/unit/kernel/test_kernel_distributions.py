"""What the kernels of distributions, and old ones of PowerPC, say of themselves and of the process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.kernel.kernel_console import judge

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Crash

POWERPC_2_6 = """\
[  100.000000] Oops: kernel access of bad area, sig: 11 [#1]
[  100.000001] NIP: C0123456 LR: C0123400 SP: C7F1FE40 REGS: c7f1fd90 TRAP: 0300    Not tainted
[  100.000002] MSR: 00009032 EE: 1 PR: 0 FP: 0 ME: 1 IR/DR: 11
[  100.000003] DAR: 00000008, DSISR: 20000000
[  100.000004] TASK = c7f10a10[123] 'modprobe' THREAD: c7f1e000
[  100.000005] Last syscall: 128
[  100.000006] GPR00: 00000000 C7F1FE40 C7F10A10 00000000 00000000
[  100.000007] NIP [c0123456] demo_read+0x16/0x80
[  100.000008] LR [c0123400] vfs_read+0xb5/0x1a0
"""
POWERPC_3_0 = """\
[  100.000000] Unable to handle kernel paging request for data at address 0x00000008
[  100.000001] Faulting instruction address: 0xc0123456
[  100.000002] Oops: Kernel access of bad area, sig: 11 [#1]
[  100.000003] PREEMPT SMP NR_CPUS=2 P2020RDB
[  100.000004] NIP: c0123456 LR: c0123400 CTR: c01234a0
[  100.000005] REGS: c7f1fd90 TRAP: 0300   Tainted: G           O  (3.0.0-demo)
[  100.000006] MSR: 00029002 <EE,ME,CE>  CR: 24002044  XER: 00000000
[  100.000007] DEAR: 00000008, ESR: 00800000
[  100.000008] TASK = c7f10a10[123] 'modprobe' THREAD: c7f1e000 CPU: 1
[  100.000009] GPR00: 00000000 C7F1FE40 C7F10A10 00000000 00000000
[  100.000010] NIP [c0123456] demo_read+0x16/0x80
[  100.000011] LR [c0123400] vfs_read+0xb5/0x1a0
"""


def crash_of(text: str) -> Crash:
    (incident,) = judge(text)
    assert incident.crash is not None
    return incident.crash


@pytest.mark.parametrize(
    ("line", "taint", "kernel"),
    [
        ("Pid: 7, comm: cat Tainted: G        ---------------- T 2.6.32-71.el6.x86_64 #1 Bochs", "GT", "2.6.32-71.el6"),
        ("Pid: 7, comm: cat Tainted: G        W  ---------------    2.6.32-431.el6.x86_64 #1", "GW", "2.6.32-431.el6"),
        ("Pid: 7, comm: cat Not tainted  ---------------  2.6.32-431.el6.x86_64 #1", "", "2.6.32-431.el6"),
        (
            "CPU: 3 PID: 7 Comm: cat Tainted: G           OE  ------------ T 3.10.0-327.el7.x86_64 #1",
            "GOET",
            "3.10.0-327",
        ),
        ("CPU: 3 PID: 7 Comm: cat Kdump: loaded Tainted: G    --------- -  - 4.18.0-193.el8 #1", "G", "4.18.0-193.el8"),
        ("CPU: 3 PID: 7 Comm: cat Not tainted --------- -  - 4.18.0-193.el8.x86_64 #1", "", "4.18.0-193.el8"),
        ("CPU: 3 UID: 0 PID: 7 Comm: cat Tainted: G    E     -------  ---  6.12.0-55.el10 #1", "GE", "6.12.0-55.el10"),
        ("CPU: 3 PID: 7 Comm: cat Tainted: [W]=WARN, [O]=OOT_MODULE 6.12.0 #1", "WO", "6.12.0 #1"),
    ],
)
def test_taint_with_dashes_is_read_and_the_build_after_it(line: str, taint: str, kernel: str) -> None:
    crash = crash_of(
        "[  100.000000] WARNING: at drivers/demo.c:12 demo_read+0x16/0x80 [demo]()\n"
        f"[  100.000001] {line}\n"
        "[  100.000002] ---[ end trace 9358d1fc4259ae2f ]---\n"
    )
    assert (crash.pid, crash.comm, crash.taint) == (7, "cat", taint)
    assert (crash.kernel or "").startswith(kernel)


def test_the_build_of_a_hung_task_stands_behind_dashes_too() -> None:
    crash = crash_of(
        "[  245.000000] INFO: task modprobe:1726 blocked for more than 120 seconds.\n"
        "[  245.000100]       Tainted: G           OE  ------------   3.10.0-327.el7.x86_64 #1\n"
    )
    assert (crash.taint, crash.kernel) == ("GOE", "3.10.0-327.el7.x86_64 #1")


def test_a_long_taint_without_a_kernel_takes_no_time() -> None:
    crash = crash_of(
        "[  100.000000] WARNING: at drivers/demo.c:12 demo_read+0x16/0x80 [demo]()\n"
        f"[  100.000001] CPU: 0 PID: 7 Comm: cat Tainted: {'A ' * 60}!\n"
    )
    assert crash.kernel is None


def test_an_old_powerpc_names_the_address_and_the_task_in_lines_of_its_own() -> None:
    crash = crash_of(POWERPC_2_6)
    assert (crash.address, crash.access, crash.pid, crash.comm, crash.cpu) == (8, "read", 123, "modprobe", None)
    crash = crash_of(POWERPC_3_0)
    assert (crash.address, crash.access, crash.pid, crash.comm, crash.cpu) == (8, "write", 123, "modprobe", 1)
    assert (crash.taint, crash.kernel) == ("GO", "3.0.0-demo")


def test_an_oops_of_powerpc_before_they_were_numbered_is_found() -> None:
    first, *rest = POWERPC_2_6.splitlines(keepends=True)
    (incident,) = judge("".join([first.replace(" [#1]", ""), *rest]))
    assert (incident.kind, incident.function) == ("oops", "demo_read")
    assert incident.title == "kernel oops: NULL pointer dereference at 0x8 in demo_read+0x16"

"""What the kernel says in several reports about one fault is one incident, with the right function."""

from __future__ import annotations

import pytest

from tests.unit.kernel.kernel_console import judge

STALL = """\
INFO: rcu_sched self-detected stall on CPU
\t0-...: (2099 ticks this GP) idle=c15/140000000000002/0 softirq=1722/1722 fqs=1050
\t (t=2100 jiffies g=118 c=117 q=40)
Task dump for CPU 0:
insmod          R running      0   154    150 0x00000002
[<c0110898>] (unwind_backtrace) from [<c010c868>] (show_stack+0x20/0x24)
[<c010c868>] (show_stack) from [<c0155a3c>] (sched_show_task+0xc8/0x11c)
[<c0155a3c>] (sched_show_task) from [<c018f8e8>] (update_process_times+0x40/0x6c)
[<c018f8e8>] (update_process_times) from [<c010d4b8>] (__irq_svc+0x58/0x74)
[<c010d4b8>] (__irq_svc) from [<bf0a2014>] (demo_spin+0x14/0x20 [demo])
[<bf0a2014>] (demo_spin [demo]) from [<c0101d48>] (do_one_initcall+0x50/0x180)
"""
INLINED = """\
BUG: KASAN: null-ptr-deref in instrument_atomic_read_write include/linux/instrumented.h:96 [inline]
BUG: KASAN: null-ptr-deref in atomic_fetch_sub_release include/linux/atomic/atomic-instrumented.h:400 [inline]
BUG: KASAN: null-ptr-deref in demo_release+0x10e/0x210 drivers/demo/demo.c:1415
Write of size 4 at addr 0000000000000080 by task modprobe/9911
CPU: 1 PID: 9911 Comm: modprobe Not tainted 6.9.0 #1
Call Trace:
 kasan_report+0x143/0x180 mm/kasan/report.c:601
 demo_release+0x10e/0x210 drivers/demo/demo.c:1415
 __fput+0x429/0x8a0 fs/file_table.c:422
==================================================================
"""
WARNED_INLINED = """\
------------[ cut here ]------------
WARNING: CPU: 0 PID: 5832 at drivers/demo/sta.c:1463 __demo_destroy drivers/demo/sta.c:1463 [inline]
WARNING: CPU: 0 PID: 5832 at drivers/demo/sta.c:1463 demo_destroy_addr+0x3e5/0x560 drivers/demo/sta.c:1509
CPU: 0 UID: 0 PID: 5832 Comm: kworker/u8:7 Not tainted 6.12.0 #1
RIP: 0010:demo_destroy_addr+0x3e5/0x560 drivers/demo/sta.c:1509
---[ end trace 0000000000000000 ]---
"""
MACHINE_CHECK = """\
Machine check in kernel mode.
Caused by (from SRR1=149030): Transfer error ack signal
Oops: Machine check, sig: 7 [#1]
NIP [c0311a10] demo_read_byte+0x28/0x58
LR [c03119f8] demo_read_byte+0x10/0x58
Call Trace:
[c782bd10] [c03119f8] demo_read_byte+0x10/0x58 (unreliable)
---[ end trace 3c2b1a0f9e8d7c6b ]---
"""
BUSY = """\
VFS: Busy inodes after unmount of sdb1 (ext4)
------------[ cut here ]------------
kernel BUG at fs/super.c:695!
invalid opcode: 0000 [#1] PREEMPT SMP PTI
RIP: 0010:generic_shutdown_super+0x110/0x120
---[ end trace 0000000000000000 ]---
"""
ROOT = """\
VFS: Unable to mount root fs via NFS, trying floppy.
VFS: Cannot open root device "(null)" or unknown-block(2,0): error -6
Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(2,0)
"""
ASSERTED = """\
Assertion failure in demo_dirty_metadata() at fs/demo/transaction.c:1395: "jh->b_transaction == transaction"
------------[ cut here ]------------
kernel BUG at fs/demo/transaction.c:1395!
invalid opcode: 0000 [#1] SMP
RIP: 0010:[<ffffffffa00a1b2c>]  [<ffffffffa00a1b2c>] demo_dirty_metadata+0x21c/0x230 [demo]
---[ end trace 1a2b3c4d5e6f7a8b ]---
"""
CACHE = """\
------------[ cut here ]------------
kmem_cache_destroy demo_cache: Slab cache still has objects when called from demo_exit+0x14/0x800 [demo]
WARNING: CPU: 0 PID: 311 at mm/slab_common.c:498 kmem_cache_destroy+0x110/0x160
CPU: 0 PID: 311 Comm: rmmod Tainted: G           O       6.1.92 #1
Call trace:
 kmem_cache_destroy+0x110/0x160
 demo_exit+0x14/0x800 [demo]
---[ end trace 0000000000000000 ]---
"""
GUESSED = """\
BUG: sleeping function called from invalid context at mm/slub.c:1590
in_atomic(): 1, irqs_disabled(): 0, pid: 2811, name: demo-thread
Pid: 2811, comm: demo-thread Not tainted 2.6.32-5-amd64 #1
Call Trace:
 [<ffffffff8103a1a7>] ? __might_sleep+0xe4/0xe6
 [<ffffffff810e6c1a>] ? __kmalloc+0x4c/0x150
 [<ffffffffa03b5a1c>] ? demo_generic_rw+0x2a/0x140 [demo]
"""
ENTRY = """\
Unhandled 64-bit el1h sync exception on CPU2, ESR 0x0000000034000002 -- BTI
CPU: 2 PID: 1214 Comm: insmod Tainted: G           O       6.1.0 #1
pc : demo_entry+0x0/0x20 [demo]
lr : demo_init+0x2c/0x1000 [demo]
Kernel panic - not syncing: Unhandled exception
Call trace:
 dump_backtrace+0xe0/0xfc
 panic+0x178/0x33c
 demo_entry+0x0/0x20 [demo]
---[ end Kernel panic - not syncing: Unhandled exception ]---
"""
SPARC = """\
Unable to handle kernel NULL pointer dereference
modprobe(1211): Oops [#1]
TPC: <demo_probe+0x4c/0x900 [demo]>
Call Trace:
[<00000000007a1b2c>] pci_device_probe+0x90/0x120
"""
M68K = """\
Unable to handle kernel NULL pointer dereference at virtual address 00000000
Oops: 00000000
PC: [<002a1b2c>] demo_init+0x1c/0x90
Call Trace: [<002a1c2c>] demo_platform_probe+0x2c/0x90
Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b
"""


@pytest.mark.parametrize(
    ("text", "kind", "function"),
    [
        (STALL, "rcu-stall", "demo_spin"),
        (INLINED, "kasan", "demo_release"),
        (WARNED_INLINED, "warning", "demo_destroy_addr"),
        (MACHINE_CHECK, "machine-check", "demo_read_byte"),
        (BUSY, "vfs-busy", "generic_shutdown_super"),
        (ROOT, "mount-failure", None),
        (ASSERTED, "bug", "demo_dirty_metadata"),
        (CACHE, "bug", "demo_exit"),
        (GUESSED, "atomic-sleep", "demo_generic_rw"),
        (ENTRY, "oops", "demo_entry"),
        (SPARC, "oops", "demo_probe"),
        (M68K, "oops", "demo_init"),
    ],
)
def test_one_fault_is_one_incident(text: str, kind: str, function: str | None) -> None:
    (incident,) = judge(text)
    assert (incident.kind, incident.function) == (kind, function)
    assert incident.fatal == ("Kernel panic" in text)


def test_a_second_report_of_one_sort_is_another_incident() -> None:
    first = INLINED.replace("demo_release", "demo_open")
    assert [incident.function for incident in judge(first + INLINED)] == ["demo_open", "demo_release"]
    cut = "\n".join(first.splitlines()[:4]) + "\n"
    assert [incident.function for incident in judge(cut + INLINED)] == ["demo_open", "demo_release"]


def test_what_is_no_system_call_keeps_its_name() -> None:
    report = "BUG: KASAN: vmalloc-out-of-bounds in {}+0x11b4/0x1350\n"
    assert judge(report.format("sys_imageblit"))[0].function == "sys_imageblit"
    assert judge(report.format("sys_sendmmsg"))[0].function == "sendmmsg"


def test_a_warning_begins_where_it_is_cut_out_not_behind_what_it_has_to_say() -> None:
    said = "------------[ cut here ]------------\ndemo 30be0000.demo: queue not empty\n"
    report = "WARNING: CPU: 1 PID: 733 at drivers/demo/main.c:1123 demo_stop+0x9c/0xd0 [demo]\n"
    assert judge("demo: link is up\n" + said + report)[0].first_line == 1
    assert judge("demo: link is up\n" + said + "demo: up\n" * 5 + report)[0].first_line == 8

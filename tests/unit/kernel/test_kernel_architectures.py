"""What the judge reads from a crash, on each architecture and from old and new kernels."""

from __future__ import annotations

import pytest

from pytest_shepherd_hil.kernel.incident import LoadedModule
from tests.unit.kernel.kernel_console import judge

ARM_2_6 = """\
Unable to handle kernel NULL pointer dereference at virtual address 00000010
pgd = c7a5c000
[00000010] *pgd=87a41031, *pte=00000000, *ppte=00000000
Internal error: Oops: 17 [#1]
last sysfs file: /sys/devices/platform/demo/value
Modules linked in: demo(+)
CPU: 0    Not tainted  (2.6.32 #12)
PC is at demo_probe+0x20/0x70 [demo]
LR is at platform_drv_probe+0x1c/0x24
pc : [<bf000020>]    lr : [<c01b3a40>]    psr: 60000013
sp : c7b4de98  ip : c7b4deb8  fp : c7b4deb4
r10: 00000000  r9 : c7b4c000  r8 : c0024fc4
r7 : 00000000  r6 : bf000684  r5 : c03a4ab0  r4 : c03a4ab8
r3 : 00000000  r2 : c7b4deb8  r1 : bf000684  r0 : c03a4ab0
Flags: nZCv  IRQs on  FIQs on  Mode SVC_32  ISA ARM  Segment user
Control: 0005317f  Table: 87a5c000  DAC: 00000015
Process insmod (pid: 77, stack limit = 0xc7b4c268)
Stack: (0xc7b4de98 to 0xc7b4e000)
de80:                                                       c7b4deb4 c7b4dea8
[<bf000020>] (demo_probe+0x20/0x70 [demo]) from [<c01b3a40>] (platform_drv_probe+0x1c/0x24)
[<c01b3a40>] (platform_drv_probe+0x1c/0x24) from [<c01b2a04>] (driver_probe_device+0xb0/0x16c)
[<c01b2a04>] (driver_probe_device+0xb0/0x16c) from [<c01b2b28>] (__driver_attach+0x68/0x8c)
Code: e1a05000 e5903010 e3530000 (e5932010)
---[ end trace 1b75b31a2719ed1c ]---
"""

X86_32_2_6 = """\
BUG: unable to handle kernel NULL pointer dereference at 00000014
IP: [<f8a5c010>] demo_read+0x10/0x90 [demo]
*pde = 00000000
Oops: 0000 [#1] SMP
last sysfs file: /sys/devices/pci0000:00/0000:00:1f.2/host0/uevent
Modules linked in: demo(U) autofs4 sunrpc [last unloaded: scsi_wait_scan]

Pid: 1726, comm: cat Not tainted (2.6.32-71.el6.i686 #1) OptiPlex
EIP: 0060:[<f8a5c010>] EFLAGS: 00010246 CPU: 1
EIP is at demo_read+0x10/0x90 [demo]
EAX: 00000000 EBX: f6b1b4f6 ECX: 00000000 EDX: 00000001
ESI: f6b1b500 EDI: 00001000 EBP: f6a5df50 ESP: f6a5df30
 DS: 007b ES: 007b FS: 00d8 GS: 00e0 SS: 0068
Process cat (pid: 1726, ti=f6a5c000 task=f6b9c030 task.ti=f6a5c000)
Stack:
 f6b1b4f6 00000000 c0525c5a f6a5df9c
Call Trace:
 [<c0525c5a>] ? vfs_read+0x9a/0x190
 [<c0525d91>] ? sys_read+0x41/0x70
 [<c0409bdf>] ? sysenter_do_call+0x12/0x28
Code: 55 89 e5 57 56 53 83 ec 14 <8b> 50 14 85 d2 74
EIP: [<f8a5c010>] demo_read+0x10/0x90 [demo] SS:ESP 0068:f6a5df30
CR2: 0000000000000014
---[ end trace 8b3e7f2a1c0d5e44 ]---
"""

X86_64_2_6 = """\
BUG: unable to handle kernel paging request at ffffffffdeadbeef
IP: [<ffffffffa0005010>] demo_read+0x10/0x90 [demo]
PGD 1a85067 PUD 1a86063 PMD 0
Oops: 0002 [#1] SMP
CPU 3
Modules linked in: demo(O) fuse
Pid: 1726, comm: cat Tainted: G           O 3.6.11-4.fc16.x86_64 #1 OptiPlex 780
RIP: 0010:[<ffffffffa0005010>]  [<ffffffffa0005010>] demo_read+0x10/0x90 [demo]
RSP: 0018:ffff8801b7a5de48  EFLAGS: 00010246
RAX: 0000000000000000 RBX: ffff8801b6b1b4f6 RCX: 0000000000000000
Process cat (pid: 1726, threadinfo ffff8801b7a5c000, task ffff8801b6b9c030)
Stack:
 ffff8801b7a5de58 ffffffff81195cc1
Call Trace:
 [<ffffffff81195cc1>] vfs_read+0xb1/0x180
 [<ffffffff81195dda>] sys_read+0x4a/0x90
 [<ffffffff81614fe9>] system_call_fastpath+0x16/0x1b
Code: 55 48 89 e5 53 <48> 89 50 10 5b
RIP  [<ffffffffa0005010>] demo_read+0x10/0x90 [demo]
 RSP <ffff8801b7a5de48>
CR2: ffffffffdeadbeef
---[ end trace 8b3e7f2a1c0d5e45 ]---
"""

X86_64_6_12 = """\
[  100.000001] BUG: kernel NULL pointer dereference, address: 0000000000000010
[  100.000002] #PF: supervisor write access in kernel mode
[  100.000003] #PF: error_code(0x0002) - not-present page
[  100.000004] PGD 0 P4D 0
[  100.000005] Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI
[  100.000006] CPU: 3 UID: 0 PID: 1726 Comm: cat Tainted: G        W  O       6.12.117 #1
[  100.000007] Tainted: [W]=WARN, [O]=OOT_MODULE
[  100.000008] Hardware name: QEMU Standard PC (Q35 + ICH9, 2009), BIOS 1.16.2-1 04/01/2014
[  100.000009] RIP: 0010:demo_write+0x10/0x90 [demo]
[  100.000010] Code: 55 48 89 e5 53 <48> 89 50 10 5b
[  100.000011] RSP: 0018:ffffc90000a5fe48 EFLAGS: 00010246
[  100.000012] RAX: 0000000000000000 RBX: ffff888103b1b4f6 RCX: 0000000000000000
[  100.000013] Call Trace:
[  100.000014]  <TASK>
[  100.000015]  ? __die_body.cold+0x19/0x27
[  100.000016]  vfs_write+0xb1/0x180
[  100.000017]  ksys_write+0x4a/0x90
[  100.000018]  do_syscall_64+0x82/0x190
[  100.000019]  </TASK>
[  100.000020] Modules linked in: demo(O) fuse
[  100.000021] CR2: 0000000000000010
[  100.000022] ---[ end trace 0000000000000000 ]---
"""

ARM64_6_1 = """\
[  100.000001] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010
[  100.000002] Mem abort info:
[  100.000003]   ESR = 0x0000000096000044
[  100.000004]   EC = 0x25: DABT (current EL), IL = 32 bits
[  100.000005]   ISV = 0, ISS = 0x00000044
[  100.000006]   CM = 0, WnR = 1
[  100.000007] user pgtable: 4k pages, 48-bit VAs, pgdp=0000000043f4e000
[  100.000008] [0000000000000010] pgd=0000000000000000, p4d=0000000000000000
[  100.000009] Internal error: Oops: 0000000096000044 [#1] PREEMPT SMP
[  100.000010] Modules linked in: demo(O) fuse
[  100.000011] CPU: 2 PID: 1726 Comm: cat Tainted: G           O       6.1.0-18-arm64 #1 Debian 6.1.76-1
[  100.000012] Hardware name: linux,dummy-virt (DT)
[  100.000013] pstate: 60000005 (nZCv daif -PAN -UAO -TCO -DIT -SSBS BTYPE=--)
[  100.000014] pc : demo_write+0x10/0x90 [demo]
[  100.000015] lr : vfs_write+0xb4/0x2a0
[  100.000016] sp : ffff80000a5bbd20
[  100.000017] x29: ffff80000a5bbd20 x28: ffff000003b1b400 x27: 0000000000000000
[  100.000018] x2 : 0000000000000001 x1 : 0000ffffe2a4c000 x0 : ffff000003b1b500
[  100.000019] Call trace:
[  100.000020]  demo_write+0x10/0x90 [demo]
[  100.000021]  vfs_write+0xb4/0x2a0
[  100.000022]  ksys_write+0x6c/0x100
[  100.000023]  el0t_64_sync+0x190/0x194
[  100.000024] Code: d503201f a9be7bfd 910003fd (f9000801)
[  100.000025] ---[ end trace 0000000000000000 ]---
"""

POWERPC = """\
BUG: Kernel NULL pointer dereference on write at 0x00000010
Faulting instruction address: 0xc008000000a50010
Oops: Kernel access of bad area, sig: 11 [#1]
LE PAGE_SIZE=64K MMU=Radix SMP NR_CPUS=2048 NUMA pSeries
Modules linked in: demo(O) fuse
CPU: 5 PID: 1726 Comm: cat Tainted: G           O      5.10.0-8-powerpc64le #1 Debian 5.10.46-4
NIP:  c008000000a50010 LR: c00000000046c1a4 CTR: c008000000a50000
REGS: c00000000f0bb9d0 TRAP: 0380   Tainted: G           O       (5.10.0-8-powerpc64le)
MSR:  800000000280b033 <SF,VEC,VSX,EE,FP,ME,IR,DR,RI,LE>  CR: 24004222  XER: 00000000
CFAR: c00000000046c1a0 DAR: 0000000000000010 DSISR: 42000000 IRQMASK: 0
GPR00: c00000000046c1a4 c00000000f0bbc60 c008000000a58000 c00000000a1b4f00
NIP [c008000000a50010] demo_write+0x10/0x90 [demo]
LR [c00000000046c1a4] vfs_write+0xf4/0x340
Call Trace:
[c00000000f0bbc60] [c00000000046c1a4] vfs_write+0xf4/0x340
[c00000000f0bbcb0] [c00000000046c5d8] ksys_write+0x78/0x130
[c00000000f0bbd00] [c00000000002c1a4] system_call_exception+0x160/0x2c0
Instruction dump:
60000000 7c0802a6 <f8030010> 4e800020
---[ end trace 8b3e7f2a1c0d5e46 ]---
"""

RISCV = """\
[  100.000001] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010
[  100.000002] Oops [#1]
[  100.000003] Modules linked in: demo(O) fuse
[  100.000004] CPU: 1 PID: 1726 Comm: cat Tainted: G           O       6.1.0-18-riscv64 #1 Debian 6.1.76-1
[  100.000005] Hardware name: riscv-virtio,qemu (DT)
[  100.000006] epc : demo_write+0x10/0x90 [demo]
[  100.000007]  ra : vfs_write+0xb4/0x2a0
[  100.000008] epc : ffffffff016a5010 ra : ffffffff8022b0a4 sp : ff20000000a5bd20
[  100.000009]  gp : ffffffff81a4c000 tp : ff60000003b1b400 t0 : 0000000000000000
[  100.000010] status: 0000000200000120 badaddr: 0000000000000010 cause: 000000000000000f
[  100.000011] [<ffffffff016a5010>] demo_write+0x10/0x90 [demo]
[  100.000012] [<ffffffff8022b0a4>] vfs_write+0xb4/0x2a0
[  100.000013] [<ffffffff8022b3d2>] ksys_write+0x6c/0x100
[  100.000014] ---[ end trace 0000000000000000 ]---
"""

MIPS = """\
CPU 1 Unable to handle kernel paging request at virtual address 00000010, epc == c0a50010, ra == 801a41a4
Oops[#1]:
CPU: 1 PID: 1726 Comm: cat Tainted: G           O      4.19.37 #0
$ 0   : 00000000 00000001 00000000 00000000
$ 4   : 87a1b4f0 7fe2a4c0 00000001 87b0bed8
epc   : c0a50010 demo_write+0x10/0x90 [demo]
ra    : 801a41a4 vfs_write+0xb4/0x2a0
Status: 11007c03\tKERNEL EXL IE
Cause : 0080000c (ExcCode 03)
BadVA : 00000010
PrId  : 00019655 (MIPS 24KEc)
Modules linked in: demo(O) fuse
Process cat (pid: 1726, threadinfo=(ptrval), task=(ptrval), tls=77e2aefc)
Stack : 00000000 801a41a4 87a1b4f0
Call Trace:
[<c0a50010>] demo_write+0x10/0x90 [demo]
[<801a41a4>] vfs_write+0xb4/0x2a0
[<801a45d8>] ksys_write+0x6c/0x100
Code: 00000000  27bdffe0  afbf001c <ac860010> 8fbf001c

---[ end trace 8b3e7f2a1c0d5e47 ]---
"""

S390 = """\
Unable to handle kernel pointer dereference in virtual kernel address space
Failing address: 0000000000000000 TEID: 0000000000000887
Oops: 0004 ilc:2 [#1] SMP
Modules linked in: demo(O) fuse
CPU: 0 PID: 1726 Comm: cat Tainted: G           O       5.14.0-70.el9.s390x #1
Hardware name: IBM 3931 A01 704 (LPAR)
Krnl PSW : 0704c00180000000 000003ff80a50010 (demo_write+0x10/0x90 [demo])
           R:0 T:1 IO:1 EX:1 Key:0 M:1 W:0 P:0 AS:3 CC:0 PM:0 RI:0 EA:3
Krnl GPRS: 0000000000000001 0000000000000000 0000000000000000 000003ffe2a4c000
Krnl Code: 000003ff80a5000a: b90400ef lgr %r14,%r15
Call Trace:
 [<000003ff80a50010>] demo_write+0x10/0x90 [demo]
 [<00000000a546c1a4>] vfs_write+0xb4/0x2a0
 [<00000000a546c5d8>] ksys_write+0x6c/0x100
Last Breaking-Event-Address:
 [<00000000a546c1a0>] vfs_write+0xb0/0x2a0
---[ end trace 8b3e7f2a1c0d5e48 ]---
"""


LOADED = (LoadedModule("demo", "O"), LoadedModule("fuse"))


@pytest.mark.parametrize(
    ("text", "function", "address", "access", "cpu", "comm", "taint", "kernel", "frames"),
    [
        pytest.param(ARM_2_6, "demo_probe", 0x10, None, 0, "insmod", "", "2.6.32 #12", 4, id="arm 2.6"),
        pytest.param(
            X86_32_2_6, "demo_read", 0x14, None, 1, "cat", "", "2.6.32-71.el6.i686 #1 OptiPlex", 1, id="x86-32 2.6"
        ),
        pytest.param(
            X86_64_2_6, "demo_read", 0xFFFFFFFFDEADBEEF, None, 3, "cat", "GO", "3.6.11-4.fc16.x86_64 #1 OptiPlex 780",
            4, id="x86-64 3.6",
        ),
        pytest.param(X86_64_6_12, "demo_write", 0x10, "write", 3, "cat", "GWO", "6.12.117 #1", 4, id="x86-64 6.12"),
        pytest.param(
            ARM64_6_1, "demo_write", 0x10, "write", 2, "cat", "GO", "6.1.0-18-arm64 #1 Debian 6.1.76-1", 4, id="arm64"
        ),
        pytest.param(
            POWERPC, "demo_write", 0x10, "write", 5, "cat", "GO", "5.10.0-8-powerpc64le #1 Debian 5.10.46-4", 4, id="p"
        ),
        pytest.param(
            RISCV, "demo_write", 0x10, "write", 1, "cat", "GO", "6.1.0-18-riscv64 #1 Debian 6.1.76-1", 3, id="riscv"
        ),
        pytest.param(MIPS, "demo_write", 0x10, None, 1, "cat", "GO", "4.19.37 #0", 3, id="mips"),
        pytest.param(S390, "demo_write", 0, None, 0, "cat", "GO", "5.14.0-70.el9.s390x #1", 3, id="s390"),
    ],
)  # fmt: skip
def test_a_crash_is_read_on_each_architecture(
    text: str,
    function: str,
    address: int,
    access: str | None,
    cpu: int,
    comm: str,
    taint: str,
    kernel: str,
    frames: int,
) -> None:
    (incident,) = judge(text)
    crash = incident.crash
    assert crash is not None
    assert (incident.kind, incident.function, incident.module, incident.complete) == ("oops", function, "demo", True)
    assert (crash.address, crash.access, crash.cpu, crash.comm) == (address, access, cpu, comm)
    assert (crash.taint, crash.kernel, len(crash.frames)) == (taint, kernel, frames)
    assert crash.pid == (77 if comm == "insmod" else 1726)
    assert crash.pc is not None
    assert str(crash.pc) == f"{function}+{crash.pc.offset:#x} [demo]"
    assert crash.end_trace
    assert crash.oops_number == 1
    assert crash.modules == LOADED or crash.modules[0].name == "demo"


@pytest.mark.parametrize("text", [ARM_2_6, X86_32_2_6, X86_64_2_6, X86_64_6_12, ARM64_6_1, POWERPC, RISCV, MIPS, S390])
def test_a_crash_whose_first_line_is_lost_is_found_and_not_complete(text: str) -> None:
    (whole,) = judge(text)
    lines = text.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if "[#1]" in line)
    (incident,) = judge("".join(lines[start + 1 :]))
    assert (incident.kind, incident.function, incident.complete) == ("oops", whole.function, False)
    assert incident.title.startswith(("kernel oops in ", "kernel oops at 0x10 in "))
    assert incident.title.endswith(" (the first lines of its report are lost)")


def test_a_hung_task_tells_its_kernel() -> None:
    (incident,) = judge(
        "[  245.000001] INFO: task modprobe:1726 blocked for more than 120 seconds.\n"
        "[  245.000002]       Tainted: G           O      4.19.94-ti-r73 #1focal\n"
        '[  245.000003] "echo 0 > /proc/sys/kernel/hung_task_timeout_secs" disables this message.\n'
        "[  245.000004] [<c0112264>] (__schedule) from [<c010d0d4>] (schedule+0x20/0x24)\n"
        "[  245.000005] [<c010d0d4>] (schedule) from [<bf19b018>] (demo_wait+0x84/0x104 [demo])\n"
    )
    assert incident.crash is not None
    assert (incident.crash.taint, incident.crash.kernel) == ("GO", "4.19.94-ti-r73 #1focal")


def test_a_warning_without_more_tells_its_cpu() -> None:
    (incident,) = judge(
        "[    1.000001] WARNING: CPU: 1 PID: 363 at drivers/demo/demo.c:12 demo_read+0x10/0x90 [demo]\n"
    )
    assert incident.crash is not None
    assert (incident.crash.cpu, incident.crash.pid) == (1, 363)
    (incident,) = judge("[    1.000001] WARNING: drivers/demo/demo.c:12 at demo_read+0x10/0x90, CPU#1: cat/363\n")
    assert incident.crash is not None
    assert (incident.crash.cpu, incident.crash.pid, incident.crash.comm) == (1, 363, "cat")

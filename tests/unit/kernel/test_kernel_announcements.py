"""How kernels of all ages and architectures announce that something went wrong, behind all sorts of prefixes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.kernel.incident import Severity
from pytest_shepherd_hil.kernel.scan import scan_bytes
from tests.unit.kernel.kernel_console import RULES, judge

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.rules import Rule

DEATHS = {
    # x86, from 2.4 to 6.12
    "Unable to handle kernel NULL pointer dereference at virtual address 00000040": "oops",
    "Unable to handle kernel NULL pointer dereference at 0000000000000008 RIP: ": "oops",
    "BUG: unable to handle kernel paging request at 00000000deadbeef": "oops",
    "BUG: unable to handle kernel NULL pointer dereference at           (null)": "oops",
    "BUG: unable to handle page fault for address: ffffed1000000010": "oops",
    "BUG: kernel NULL pointer dereference, address: 0000000000000018": "oops",
    "BUG: unable to handle kernel at ffffc90000ff8000": "oops",
    "Oops: 0002": "oops",
    "Oops: 0000 [#1]": "oops",
    "Oops: 0002 [#1] PREEMPT SMP": "oops",
    "Oops: 0010 [#3] SMP KASAN PTI": "oops",
    "Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI": "oops",
    "Oops: int3: 0000 [#1] PREEMPT SMP": "oops",
    "Oops: divide error: 0000 [#1] SMP": "oops",
    "invalid opcode: 0000 [#1] SMP": "oops",
    "invalid operand: 0000 [#1]": "oops",
    "divide error: 0000 [#1] SMP DEBUG_PAGEALLOC": "oops",
    "stack segment: 0000 [#1] SMP": "oops",
    "segment not present: 0000 [#1] SMP": "oops",
    "invalid TSS: 0000 [#1]": "oops",
    "alignment check: 0000 [#1] SMP": "oops",
    "simd exception: 0000 [#1] PREEMPT SMP": "oops",
    "iret exception: 0000 [#1] SMP": "oops",
    "Bad pagetable: 000d [#1] SMP": "oops",
    "general protection fault: 0000 [#1] SMP": "general-protection",
    "general protection fault, probably for non-canonical address 0xdead000000000122: 0 [#1]": "general-protection",
    "Oops: general protection fault, probably for non-canonical address 0xdffffc0000000004: 0000 [#1] PREEMPT SMP": (
        "general-protection"
    ),
    "kernel tried to execute NX-protected page - exploit attempt? (uid: 0)": "oops",
    "unable to execute userspace code (SMEP?) (uid: 1000)": "oops",
    "PANIC: double fault, error_code: 0x0": "oops",
    "traps: PANIC: double fault, error_code: 0x0": "oops",
    "PANIC: early exception 0x0d IP 10:ffffffff8102f9a1 error 0 cr2 0x0": "oops",
    "traps: Missing ENDBR: demo_read+0x0/0x10": "oops",
    "CFI failure at demo_call+0x30/0x70 [demo] (target: demo_read+0x0/0x40 [demo]; expected type: 0x3a7b1d2e)": "oops",
    "BUG: IRQ stack guard page was hit at 00000000d1f0e9a6 (stack is 0000000012a4..0000000012a5)": "oops",
    "do_IRQ: stack overflow: 428": "oops",
    # arm, arm64
    "Unhandled fault: imprecise external abort (0x1406) at 0xb6d3c000": "oops",
    "Unhandled fault: external abort on non-linefetch (0x1028) at 0xfa326034": "oops",
    "Unhandled prefetch abort: breakpoint debug exception (0x222) at 0x00000000": "oops",
    "Internal error: Oops: 17 [#1] ARM": "oops",
    "Internal error: Oops - undefined instruction: 0 [#1] THUMB2": "oops",
    "Internal error: Oops - BUG: 00000000f2000800 [#1] PREEMPT SMP": "oops",
    "Internal error: synchronous external abort: 0000000096000010 [#1] SMP": "oops",
    "Internal error: UBSAN: array index out of bounds: 00000000f2005512 [#1] SMP": "oops",
    "Internal error: Oops - FPAC: 0000000072000002 [#1] SMP": "oops",
    "Unhandled 64-bit el1h sync exception on CPU2, ESR 0x0000000002000000 -- Unknown/Uncategorized": "oops",
    "Bad mode in Synchronous Abort handler detected on CPU1, code 0x8600000f -- IABT (current EL)": "oops",
    "Bad mode in Error handler detected on CPU1, code 0xbf000002 -- SError": "machine-check",
    "SError Interrupt on CPU0, code 0x00000000bf000002 -- SError": "machine-check",
    "Insufficient stack space to handle exception!": "oops",
    "Alignment trap: not handling instruction e1913f9f at [<c0112264>]": "alignment-trap",
    # riscv, powerpc, s390, mips, sparc, parisc
    "Oops - illegal instruction [#1]": "oops",
    "Kernel BUG [#1]": "oops",
    "Unable to handle kernel access to user memory without uaccess routines at virtual address 000007c8": "oops",
    "Oops: Kernel access of bad area, sig: 11 [#1]": "oops",
    "Oops: Exception in kernel mode, sig: 4 [#2]": "oops",
    "BUG: Kernel NULL pointer dereference on write at 0x00000010": "oops",
    "BUG: Unable to handle kernel instruction fetch (NULL pointer?)": "oops",
    "Unable to handle kernel paging request for data at address 0x00000b58": "oops",
    "Kernel attempted to read user page (10) - exploit attempt? (uid: 0)": "oops",
    "Unrecoverable FP Unavailable Exception 801 at c00000000004f1d8": "oops",
    "Bad kernel stack pointer 7ffff6c0 at c00000000000f1d8": "oops",
    "cpu 0x2: Vector: 300 (Data Access) at [c00000003f2cb9a0]": "oops",
    "Machine check in kernel mode.": "machine-check",
    "Unable to handle kernel pointer dereference in virtual kernel address space": "oops",
    "Oops: 003b ilc:3 [#1] PREEMPT SMP ": "oops",
    "illegal operation: 0001 ilc:1 [#1] SMP": "oops",
    "CPU 1 Unable to handle kernel paging request at virtual address 00000000, epc == 80231f20, ra == 802321a4": "oops",
    "Oops[#1]:": "oops",
    "Kernel bug detected[#1]:": "oops",
    "Unhandled kernel unaligned access[#1]:": "oops",
    "do_cpu invoked from kernel context![#1]:": "oops",
    "Cache error exception:": "machine-check",
    "Kernel Fault: Code=26 regs=000000004f3a0d40 (Addr=0000000000000018)": "oops",
    # panics
    "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009": "panic",
    "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(179,2)": "panic",
    "Kernel panic: VFS: Unable to mount root fs on 03:01": "panic",
    "---[ end Kernel panic - not syncing: No working init found. ]---": "panic",
    # bugs
    "kernel BUG at drivers/demo/demo.c:12!": "bug",
    "Kernel BUG at demo_read [verbose debug info unavailable]": "bug",
    "BUG: at drivers/demo/demo.c:12 demo_read()": "bug",
    "BUG: warning at kernel/cpu.c:51/unlock_cpu_hotplug()": "bug",
    "BUG: spinlock lockup on CPU#1, insmod/77, dc0f1a40": "bug",
    "BUG: scheduling in a non-blocking section: kworker/0:1/17/0": "bug",
    "BUG: using smp_processor_id() in preemptible [00000000] code: insmod/77": "bug",
    "jump_label: Fatal kernel bug, unexpected op at demo_read+0x10/0x90 [00000000c0ffee00]": "oops",
    "BUG kmalloc-128 (Tainted: G    B      ): Redzone overwritten": "bug",
    "slab: double free detected in cache 'demo', objp c0ffee00": "bug",
    "Slab corruption: start=c0ffee00, len=64": "bug",
    "pagealloc: memory corruption": "bug",
    "Division by zero in kernel.": "bug",
    "Bad page state in process 'insmod'": "bad-page",
    "BUG: Bad page map in process insmod  pte:8000000 pmd:0f1a4067": "bad-page",
    "mm/memory.c:109: bad pmd c0ffee00(0000000012345670).": "bad-page",
    "swap_dup: Bad swap file entry 4000000000000": "bad-page",
    "Eeek! page_mapcount(page) went negative! (-1)": "bad-page",
    "list_add corruption. prev->next should be next (c0ffee00), but was c0ffee10. (prev=c0ffee20).": "list-corruption",
    "refcount_t: addition on 0; use-after-free.": "refcount",
    "BUG: scheduling while atomic: insmod/77/0x00000002": "atomic-sleep",
    "scheduling while atomic: insmod/0x00000002/77": "atomic-sleep",
    "Debug: sleeping function called from invalid context at mm/slab.c:2126": "atomic-sleep",
    "bad: scheduling from the idle thread!": "atomic-sleep",
    # warnings
    "WARNING: at net/sched/sch_generic.c:261 dev_watchdog+0x184/0x2a4()": "warning",
    "WARNING: CPU: 0 PID: 77 at drivers/demo/demo.c:12 demo_read+0x10/0x90 [demo]": "warning",
    "WARNING: drivers/demo/demo.c:12 at demo_read+0x10/0x90, CPU#1: insmod/77": "warning",
    "Badness at drivers/demo/demo.c:12": "warning",
    "Badness in demo_read at drivers/demo/demo.c:12": "warning",
    "RTNL: assertion failed at net/core/dev.c (4410)": "warning",
    "KERNEL: assertion (!sk->sk_forward_alloc) failed at net/core/stream.c (279)": "warning",
    "XFS: Assertion failed: ip->i_ino == 0, file: fs/xfs/xfs_inode.c, line: 12": "warning",
    "IRQ handler type mismatch for IRQ 7": "warning",
    "DMA-API: demo 4a100000.demo: device driver frees DMA memory it has not allocated": "warning",
    # what does not go on
    "INFO: task kworker/0:1:17 blocked for more than 120 seconds.": "hung-task",
    "BUG: soft lockup detected on CPU#0!": "soft-lockup",
    "BUG: soft lockup - CPU#0 stuck for 11s! [swapper:0]": "soft-lockup",
    "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [insmod:77]": "soft-lockup",
    "BUG: NMI Watchdog detected LOCKUP on CPU0, ip c01ab4b5, registers:": "hard-lockup",
    "NMI watchdog: Watchdog detected hard LOCKUP on cpu 2": "hard-lockup",
    "watchdog: CPU 3 self-detected hard LOCKUP @ demo_read+0x10/0x90": "hard-lockup",
    "watchdog: CPU 3 Hard LOCKUP": "hard-lockup",
    "smp: csd: Detected non-responsive CSD lock (#1) on CPU#2, waiting 5000000032 ns for CPU#00 do_nothing+0x0/0x10": (
        "hard-lockup"
    ),
    "INFO: RCU detected CPU 0 stall (t=4294 jiffies)": "rcu-stall",
    "INFO: rcu_sched_state detected stall on CPU 0 (t=15000 jiffies)": "rcu-stall",
    "INFO: rcu_bh detected stalls on CPUs/tasks: { 1} (detected by 0, t=2102 jiffies, g=41, c=40, q=7)": "rcu-stall",
    "rcu: INFO: rcu_tasks detected stalls on tasks:": "rcu-stall",
    "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies s: 57": "rcu-stall",
    "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 43s!": "workqueue-lockup",
    # locks
    "[ INFO: possible circular locking dependency detected ]": "lockdep",
    "[ INFO: suspicious RCU usage. ]": "lockdep",
    "[ BUG: bad unlock balance detected! ]": "lockdep",
    "[ BUG: held lock freed! ]": "lockdep",
    "WARNING: inconsistent lock state": "lockdep",
    "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected": "lockdep",
    "BUG: MAX_LOCKDEP_ENTRIES too low!": "lockdep",
    # memory, devices, file systems
    "Out of Memory: Killed process 77 (insmod).": "oom",
    "Out of memory: kill process 77 (insmod) score 12 or a child": "oom",
    "oom-killer: gfp_mask=0xd0, order=0": "oom",
    "insmod: page allocation failure. order:4, mode:0xd0": "page-alloc-failure",
    "insmod: vmalloc: allocation failure: 0 bytes, mode:0xcc2(GFP_KERNEL|__GFP_HIGHMEM)": "page-alloc-failure",
    "vmap allocation for size 16781312 failed: use vmalloc=<size> to increase size.": "page-alloc-failure",
    "irq 7: nobody cared!": "irq-nobody-cared",
    "mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 5: be00000000800400": "machine-check",
    "CPU 0: Machine Check Exception: 0000000000000004": "machine-check",
    "NMI: PCI system error (SERR) for reason b1 on CPU 0.": "machine-check",
    "VFS: Busy inodes after unmount of mmcblk0p2. Self-destruct in 5 seconds.  Have a nice day...": "vfs-busy",
    # boot loaders and firmware
    "data abort": "oops",
    '"Synchronous Abort" handler, esr 0x96000004': "oops",
    "Unhandled Exception in EL3.": "oops",
}  # fmt: skip


@pytest.mark.parametrize("message", DEATHS)
def test_what_a_kernel_says_of_its_death_is_found(message: str) -> None:
    incidents = judge(f"[  100.000001] demo: fine so far\n[  100.000100] {message}\n[  100.000200] demo: after it\n")
    assert [incident.kind for incident in incidents if incident.severity is Severity.FAIL] == [DEATHS[message]]


PREFIXES = {
    "nothing": "{}",
    "a time": "[   12.345678] {}",
    "a caller": "[   12.345678][  T123] {}",
    "a cpu": "[   12.345678][    C0] {}",
    "a level": "<4>[   12.345678] {}",
    "only a level": "<1>{}",
    "syslog": "Nov 22 12:00:01 board kernel: [   12.345678] {}",
    "syslog without kernel time": "Nov 22 12:00:01 board kernel: {}",
    "syslog without host": "Nov 22 12:00:01 kernel: {}",
    "syslog of busybox": "Jan  1 00:00:12 board user.alert kernel: {}",
    "klogd": "Nov 22 12:00:01 board klogd: {}",
    "journalctl -o short-iso": "2023-11-22T12:00:01+0100 board kernel: {}",
    "dmesg -T": "[Wed Nov 22 12:00:01 2023] {}",
    "dmesg -H": "[  +0.000012] {}",
    "dmesg -d": "[   12.345678 <    0.000012>] {}",
    "dmesg -x": "kern  :alert : [   12.345678] {}",
    "dmesg --time-format iso": "2023-11-22T12:00:01,123456+00:00 {}",
    "netconsole": "4,123,12345678,-,caller=T123;{}",
    "Android": "[   12.345678]  [1:  kworker/1:2:  123] {}",
    "another Android": "<6>[   12.345678] (1)[123:kworker/1:2]{}",
    "a logger of the serial line": "[2023-11-22 12:00:01.123] [   12.345678] {}",
    "a logger, no kernel time": "[2023-11-22T12:00:01.123Z] {}",
    "a logger, time only": "[12:00:01.123] {}",
    "a logger, bare": "2023-11-22 12:00:01.123 {}",
    "LAVA": '- {{"dt": "2023-11-22T12:00:01.123456", "lvl": "target", "msg": "[   12.345678] {}"}}',
    "terminal colours": "\x1b[0;31m[   12.345678] {}\x1b[0m",
    "CR LF": "[   12.345678] {}\r",
    "CR CR LF": "[   12.345678] {}\r\r",
}
_WHOLE_LINE = {"dmesg -T", "dmesg -H", "dmesg -d", "dmesg --time-format iso"} | {
    "a logger, no kernel time", "a logger, time only", "a logger, bare",
}  # fmt: skip
"""Programs begin their lines like that, too: ``WARNING: foo`` is nothing then."""


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.report != "boot" and rule.id != "remains"], ids=lambda rule: rule.id
)
def test_each_rule_finds_its_line_behind_each_prefix(rule: Rule) -> None:
    (plain,) = judge(rule.example)
    message = rule.example.partition("] ")[2] if rule.example.startswith("[ ") else rule.example
    missed = [
        name
        for name, prefix in PREFIXES.items()
        if not (rule.id == "headline-cut" and name in _WHOLE_LINE)
        and [found.kind for found in scan_bytes(prefix.format(message).encode() + b"\n", RULES)] != [plain.kind]
    ]
    assert missed == []


HEALTHY = """\
Kernel command line: console=ttyS0,115200 root=/dev/mmcblk0p1 ro panic=10 oops=panic panic_on_warn=1 softlockup_panic=1
Command line: BOOT_IMAGE=/vmlinuz crashkernel=128M nmi_watchdog=panic,1 hung_task_panic=1 errors=panic
sysctl: kernel.panic_on_oops = 1
Panic on oops is enabled, watchdog will reboot the board
registered panic notifier
pstore: Registered ramoops as persistent store backend
ramoops: using 0x100000@0x8ff00000, ecc: 0
systemd[1]: Starting Load/Save Kernel Oops counter...
systemd[1]: Listening on Process Core Dump Socket.
systemd[1]: systemd-oomd.service: Deactivated successfully.
systemd-oomd[231]: Killed /user.slice due to memory pressure
NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.
NMI watchdog: disabled (cpu0): hardware events not enabled
watchdog: watchdog0: watchdog did not stop!
omap_wdt: OMAP Watchdog Timer Rev 0x01: initial timeout 60 sec
softdog: initialized. soft_noboot=0 soft_margin=60 sec soft_panic=0 (nowayout=0)
rcu: Preemptible hierarchical RCU implementation.
rcu: RCU calculated value of scheduler-enlistment delay is 10 jiffies.
rcu: INFO: Stall ended before state dump start
INFO: lockdep is turned off.
INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.234 msecs
Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
lockdep: fixing up alternatives.
Disabling lock debugging due to kernel taint
kmemleak: Kernel memory leak detector initialized (mem pool available: 15679)
kmemleak: Automatic memory scanning thread started
kasan: KernelAddressSanitizer initialized
KASAN: Sanitizer initialized (generic)
kfence: initialized - using 2097152 bytes for 255 objects at 0x(ptrval)-0x(ptrval)
UBSAN is enabled
DMA-API: preallocated 65536 debug entries
DMA-API: debugging enabled by kernel config
debug: unmapping init [mem 0x0-0xfff]
MCE: In-kernel MCE decoding enabled.
mce: CPU0: Thermal monitoring enabled (TM1)
mce: Using 20 MCE banks
EDAC MC: Ver: 3.0.0
EDAC MC0: Giving out device to module sb_edac.c controller Sandy Bridge: DEV 0000:3f:0e.0 (INTERRUPT)
Freeing unused kernel memory: 2048K
cma: Reserved 48 MiB at 0x9c800000
random: crng init done
VFS: Mounted root (ext4 filesystem) readonly on device 179:1.
VFS: Disk quotas dquot_6.6.0
EXT4-fs (mmcblk0p1): recovery complete
EXT4-fs (mmcblk0p1): mounted filesystem with ordered data mode. Opts: errors=panic
EXT4-fs (mmcblk0p1): warning: mounting fs with errors, running e2fsck is recommended
XFS (sda1): WARNING: Reset corrupted AGFL on AG 0. 4 blocks leaked.
F2FS-fs (mmcblk0p1): Found nat_bits in checkpoint
FAT-fs (mmcblk0p1): Volume was not properly unmounted. Some data may be corrupt. Please run fsck.
Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible via Spectre v2 BHB attacks!
WARNING: The mand mount option has been deprecated and
WARNING: Flushing system-wide workqueues will be prohibited in near future.
WARNING: Overflow in clocksource 'timer1' observed, time update capped.
INFO: timekeeping: Cycle offset (1) is larger than the 'timer1' clock's 50% safety margin (2)
WARNING: Caches not enabled
INFO:    BL31: Initializing runtime services
NOTICE:  BL31: v2.6(release):v2.6
ERROR:   BL2: Failed to load image id 26
WARNING: BL31: unhandled PSCI feature
I/TC: OP-TEE version: 3.16.0
## Error: "bootcmd_pxe" not defined
Card did not respond to voltage select! : -110
*** Warning - bad CRC, using default environment
[Firmware Bug]: TSC_DEADLINE disabled due to Errata; please update microcode to version: 0x52
ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PCI0], AE_NOT_FOUND (20210730/psargs-330)
Direct firmware load for am335x-pm-firmware.elf failed with error -2
ALSA: seq fatal error: cannot create timer (-19)
usb 1-1: device descriptor read/64, error -110
genirq: irq_chip INTC did not update eff. affinity mask of irq 16
traps: demo[77] general protection fault ip:55d1 sp:7ffe error:0 in demo[55d1+1000]
traps: demo[77] trap invalid opcode ip:55d1 sp:7ffe error:0 in demo[55d1+1000]
demo[77]: segfault at 8 ip 00000000004005d6 sp 00007ffe error 4 in demo[400000+1000]
demo[77]: unhandled signal 11 code 0x1 at 0x0000000000000008
demo: unhandled page fault (11) at 0x00000000, code 0x017
audit: type=1701 audit(1.2:3): auid=0 uid=0 gid=0 ses=1 pid=77 comm="demo" exe="/bin/demo" sig=11 res=1
Process accounting resumed
sysrq: Show State
sysrq: HELP : loglevel(0-9) reboot(b) crash(c) terminate-all-tasks(e) memory-full-oom-kill(f)
Hardware name: Generic AM33XX (Flattened Device Tree)
CPU features: detected: 32-bit EL0 Support
SMP: Total of 1 processors activated (996.14 BogoMIPS).
smp: Brought up 1 node, 1 CPU
Modules linked in the kernel: none
device: 'panic': device_add
input: BUG: Buttons United Gamepad as /devices/virtual/input/input3
    # Subtest: kasan
    ok 1 - kmalloc_oob_right
    KTAP version 1
# selftests: lkdtm: BUG.sh
not ok 2 selftests: lkdtm: PANIC.sh # SKIP
lkdtm: No crash points registered, enable through debugfs
root@board:~# dmesg | grep -i 'Oops\\|panic\\|BUG:'
# echo c > /proc/sysrq-trigger is what makes a kernel panic
test_oops_is_found PASSED
2023-11-22 12:00:01,123 WARNING: retrying
2023-11-22 12:00:01,123 INFO: task started
[12:00:01] BUG: none today
{"level": "error", "msg": "Kernel panic - not syncing"}
oops! wrong password
Oops, try again.
data abort handler installed
U-Boot# md 0x80000000
bug: report it to the list
kernel BUG tracker: https://bugzilla.kernel.org
"""


@pytest.mark.parametrize("text", HEALTHY.splitlines())
def test_a_healthy_line_that_looks_like_a_crash_is_none(text: str) -> None:
    lines = [text, f"[   12.345678] {text}", f"<6>[   12.345678][    T1] {text}", f"[12:00:01.123] {text}"]
    lines.append(f"Nov 22 12:00:01 board kernel: [   12.345678] {text}")
    assert [(line, found.title) for line in lines for found in scan_bytes(line.encode() + b"\n", RULES)] == []

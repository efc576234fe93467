"""SysRq commands, in the words of Linux 4.19."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.sim.kernel import INFO, RELEASE, WARNING
from pytest_shepherd_hil.sim.logs import LogLine

if TYPE_CHECKING:
    from pytest_shepherd_hil.sim.life import Life
    from pytest_shepherd_hil.sim.machine import Machine

__all__ = ["CRASH", "handle"]

_HELP = (
    "HELP : loglevel(0-9) reboot(b) crash(c) terminate-all-tasks(e) memory-full-oom-kill(f) kill-all-tasks(i) "
    "thaw-filesystems(j) sak(k) show-backtrace-all-active-cpus(l) show-memory-usage(m) nice-all-RT-tasks(n) "
    "poweroff(o) show-registers(p) show-all-timers(q) unraw(r) sync(s) show-task-states(t) unmount(u) "
    "show-blocked-tasks(w) dump-ftrace-buffer(z)"
)
_TITLES = {
    b"b": "Resetting",
    b"c": "Trigger a crash",
    b"h": _HELP,
    b"l": "Show backtrace of all active CPUs",
    b"m": "Show Memory",
    b"s": "Emergency Sync",
    b"t": "Show State",
    b"w": "Show Blocked State",
}
_TASKS = "  task                PC stack   pid father"
_CRASH = f"""\
Unable to handle kernel NULL pointer dereference at virtual address 00000000
pgd = 4f3a2b01
[00000000] *pgd=00000000
Internal error: Oops: 805 [#1] PREEMPT SMP ARM
Modules linked in: pru_rproc irq_pruss_intc pruss wkup_m3_rproc pm33xx wkup_m3_ipc pruss_soc_bus uio_pdrv_genirq uio \
remoteproc virtio virtio_ring
CPU: 0 PID: 0 Comm: swapper/0 Not tainted {RELEASE} #1focal
Hardware name: Generic AM33XX (Flattened Device Tree)
PC is at sysrq_handle_crash+0x44/0x4c
LR is at sysrq_handle_crash+0x3c/0x4c
pc : [<c085e6c8>]    lr : [<c085e6c0>]    psr: 60000193
sp : c1501d50  ip : c1501d50  fp : c1501d5c
r10: c1506e08  r9 : 00000000  r8 : 60000193
r7 : 00000007  r6 : 00000063  r5 : c15a4f10  r4 : c1542cd8
r3 : 00000000  r2 : 00000001  r1 : 600001d3  r0 : 00000063
Flags: nZCv  IRQs off  FIQs on  Mode SVC_32  ISA ARM  Segment none
Control: 10c5387d  Table: 9b5a8019  DAC: 00000051
Process swapper/0 (pid: 0, stack limit = 0x5d1c3a2f)
[<c085e6c8>] (sysrq_handle_crash) from [<c085ed2c>] (__handle_sysrq+0xb0/0x1c0)
[<c085ed2c>] (__handle_sysrq) from [<c087a8d8>] (serial8250_read_char+0x140/0x1f8)
[<c087a8d8>] (serial8250_read_char) from [<c087a9d8>] (serial8250_rx_chars+0x48/0x6c)
[<c087a9d8>] (serial8250_rx_chars) from [<c087d1f4>] (omap8250_irq+0xf0/0x188)
Code: e3a02001 e5832000 f57ff04e ebe3c2a1 (e5c32000)
---[ end trace 5b3e0c1d7a9f4e21 ]---
Kernel panic - not syncing: Fatal exception in interrupt
---[ end Kernel panic - not syncing: Fatal exception in interrupt ]---"""
CRASH = tuple(LogLine(index * 0.008, text) for index, text in enumerate(_CRASH.splitlines()))
"""What SysRq c prints, one line each 8 ms."""


def handle(machine: Machine, life: Life, key: bytes) -> None:
    """Do what a SysRq key does."""
    kernel = life.kernel
    before, kernel.loglevels[0] = kernel.loglevels[0], max(7, kernel.loglevels[0])
    if not life.sysctl["sysrq"]:
        kernel.printk(INFO, "sysrq: SysRq : This sysrq operation is disabled.")
        kernel.loglevels[0] = before
        return
    title = f"Changing Loglevel\nsysrq: Loglevel set to {key.decode()}" if key.isdigit() else _TITLES.get(key, _HELP)
    kernel.printk(INFO, f"sysrq: SysRq : {title}")
    kernel.loglevels[0] = int(key) if key.isdigit() else before
    match key:
        case b"b":
            machine.reset(life)
        case b"c":
            machine.panic(life, CRASH)
        case b"s":
            kernel.printk(WARNING, "Emergency Sync complete")
        case b"w" | b"t":
            kernel.printk(INFO, _TASKS)
        case b"l":
            kernel.printk(INFO, "NMI backtrace for cpu 0")
        case _:
            pass

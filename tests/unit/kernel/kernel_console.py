"""What the tests of the kernel judge share: the user's two logs, other shapes of a crash, and a run of the judge."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.lines import LineSplitter, parse_line
from pytest_shepherd_hil.kernel.rules import load_rules

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_shepherd_hil.kernel.incident import Incident

RULES = load_rules()

OOPS_6_1 = """\
[   61.101000] 8<--- cut here ---
[   61.101280] Unhandled fault: page domain fault (0x01b) at 0x000001c4
[   61.101456] [000001c4] *pgd=00000000
[   61.101900] Internal error: : 1b [#1] SMP ARM
[   61.102100] Modules linked in: shepherd(O-)
[   61.102300] CPU: 0 PID: 93 Comm: rmmod Tainted: G           O       6.1.0-18-armmp-lpae #1  Debian 6.1.76-1
[   61.102500] Hardware name: Generic DT based system
[   61.102700] PC is at pru0_comm_receive_msg+0x20/0x68 [shepherd]
[   61.102900] LR is at coordinator_callback+0x2c/0x80 [shepherd]
[   61.103100] pc : [<bf0000a4>]    lr : [<bf000118>]    psr: 60010193
[   61.103300] sp : c1b01d98  ip : 00000000  fp : c1b01dbc
[   61.103500] r10: 00000000  r9 : dfbc5640  r8 : dfbc5680
[   61.103700] r3 : 00000000  r2 : 00000000  r1 : 000001c4  r0 : 00000000
[   61.103900] Flags: nZCv  IRQs off  FIQs on  Mode SVC_32  ISA ARM  Segment none
[   61.104100] Control: 30c5387d  Table: 43e8d200  DAC: fffffffd
[   61.104300] Register r0 information: NULL pointer
[   61.104500] Register r4 information: 2-page vmalloc region starting at 0xbf002000 allocated at load_module+0x898
[   61.104700] Process rmmod (pid: 93, stack limit = 0x7f1c2d3e)
[   61.104900] Stack: (0xc1b01d98 to 0xc1b02000)
[   61.105100] 1d80:                                                       bf000118 bf0000a4
[   61.105300]  pru0_comm_receive_msg [shepherd] from coordinator_callback+0x2c/0x80 [shepherd]
[   61.105500]  coordinator_callback [shepherd] from __hrtimer_run_queues+0x1e8/0x39c
[   61.105700]  __hrtimer_run_queues from hrtimer_interrupt+0x128/0x2bc
[   61.105900]  hrtimer_interrupt from arch_timer_handler_virt+0x30/0x38
[   61.106100]  __irq_svc from mem_interface_exit+0x40/0x58 [shepherd]
[   61.106300]  mem_interface_exit [shepherd] from shepherd_drv_remove+0x24/0x60 [shepherd]
[   61.106500]  shepherd_drv_remove [shepherd] from sys_delete_module+0x160/0x22c
[   61.106700]  sys_delete_module from ret_fast_syscall+0x0/0x54
[   61.106900] Exception stack(0xc1b01fa8 to 0xc1b01ff0)
[   61.107100] 1fa0:                   00000000 00000000 b6f2c13c 00000800 0000000a 00000001
[   61.107300] Code: e92d4010 e1a04000 e59f0040 e5903000 (e5d301c4)
[   61.107500] ---[ end trace 0000000000000000 ]---
[   61.107700] Kernel panic - not syncing: Fatal exception in interrupt
[   61.107900] Rebooting in 5 seconds..
"""

WARNING = """\
[  100.000100] ------------[ cut here ]------------
[  100.000200] WARNING: CPU: 0 PID: 175 at drivers/remoteproc/pru_rproc.c:345 pru_rproc_stop+0x84/0x104 [pru_rproc]
[  100.000300] Modules linked in: shepherd(O) pru_rproc
[  100.000400] CPU: 0 PID: 175 Comm: modprobe Tainted: G           O      4.19.94-ti-r73 #1focal
[  100.000500] Hardware name: Generic AM33XX (Flattened Device Tree)
[  100.000600] [<c0112264>] (unwind_backtrace) from [<c010d0d4>] (show_stack+0x20/0x24)
[  100.000700] [<c010d0d4>] (show_stack) from [<bf19b018>] (pru_rproc_stop+0x84/0x104 [pru_rproc])
[  100.000800] ---[ end trace 9358d1fc4259ae2f ]---
"""


def seed(name: str) -> str:
    """One of the user's logs: ``unload-panic`` or ``cma-and-pru``."""
    return (resources.files("pytest_shepherd_hil.sim") / "logs" / f"{name}.log").read_text(encoding="utf-8")


def judge_lines(lines: Iterable[bytes], detector: Detector | None = None, first: int = 0) -> list[Incident]:
    """All that comes out for these lines, and at the end of the log."""
    detector = detector or Detector(RULES)
    out = [incident for number, raw in enumerate(lines, first) for incident in detector.feed(parse_line(raw, number))]
    return out + detector.flush()


def judge_chunks(chunks: Iterable[bytes]) -> list[Incident]:
    """The same for a stream in chunks."""
    splitter, detector = LineSplitter(), Detector(RULES)
    pieces = [(number, raw) for chunk in chunks for number, _, raw in splitter.feed_at(chunk)]
    pieces += [(number, raw) for number, _, raw in splitter.feed_at(b"\n") if raw]
    out = [incident for number, raw in pieces for incident in detector.feed(parse_line(raw, number))]
    return out + detector.flush()


def judge(text: str) -> list[Incident]:
    """The last word on each incident of a log, in order."""
    return last_words(judge_lines(text.encode().splitlines()))


def last_words(incidents: Iterable[Incident]) -> list[Incident]:
    """For each id, the incident that came out last."""
    return list({incident.id: incident for incident in incidents}.values())

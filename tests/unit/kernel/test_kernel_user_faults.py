"""What a process of user space did wrong is told apart from a crash of the kernel."""

from __future__ import annotations

import pytest

from pytest_shepherd_hil.kernel.detector import Detector
from tests.unit.kernel.kernel_console import RULES, judge, judge_lines, seed

PANIC = seed("unload-panic")
HEALTHY = "".join(f"[   99.99{i:04d}] usb 1-1: number {i}\n" for i in range(20))
SIGNALLED = {
    "external abort": """\
[  100.000000] Unhandled fault: external abort on non-linefetch (0x1018) at 0xb6f2c000
[  100.000100] pgd = 8d0a1b2c
[  100.000200] [b6f2c000] *pgd=8c2d4831, *pte=4a300783, *ppte=4a300a33
""",
    "alignment of an instruction": """\
[  100.000000] Alignment trap: shepherd-sheep (831) PC=0xb6e2c1a0 Instr=0xe1913f9f Address=0xb6f2c001 FSR 0x801
""",
    "alignment": "[  100.000000] Unhandled fault: alignment exception (0x801) at 0xb6f2c001\n",
}
ARM_REGISTERS = """\
[  100.000000] 8<--- cut here ---
[  100.000010] sheep: unhandled page fault (11) at 0x00000010, code 0x017
[  100.000100] pgd = 8d0a1b2c
[  100.000200] [00000010] *pgd=8c2d4831
[  100.000300] CPU: 0 PID: 831 Comm: sheep Not tainted 4.19.94-ti-r73 #1focal
[  100.000400] Hardware name: Generic AM33XX (Flattened Device Tree)
[  100.000500] PC is at 0x1042c
[  100.000600] LR is at 0xb6e2c1a0
[  100.000700] pc : [<0001042c>]    lr : [<b6e2c1a0>]    psr: 60000010
[  100.000800] sp : bef2ec18  ip : 00000000  fp : bef2ec24
[  100.001000] Flags: nZCv  IRQs on  FIQs on  Mode USER_32  ISA ARM  Segment user
"""
ARM64_REGISTERS = """\
[  100.000000] sheep[831]: unhandled level 2 translation fault (11) at 0x00000010, esr 0x92000006, in sheep[400000+1000]
[  100.000100] pgd = ffff80001d0a1b2c
[  100.000300] CPU: 0 PID: 831 Comm: sheep Not tainted 4.19.94 #1
[  100.000400] Hardware name: linux,dummy-virt (DT)
[  100.000500] pstate: 60000000 (nZCv daif -PAN -UAO)
[  100.000600] pc : 0000000000400544
[  100.000610] lr : 0000ffff8b2c1a0c
[  100.000700] sp : 0000ffffe2f1a0c0
"""
X86_CODE = """\
[  100.000000] sheep[831]: segfault at 0 ip 000055d6a1b2c13d sp 00007ffe9a1b2c10 error 4 in sheep[55d6a1b2c000+1000]
[  100.000100] Code: 00 00 00 00 0f 1f 00 f3 0f 1e fa eb 8a f3 0f 1e fa 55 48 89 e5 b8 00 00 00 00 <8b> 00 5d c3
"""


@pytest.mark.parametrize("fault", SIGNALLED.values(), ids=SIGNALLED)
def test_a_crash_after_the_fault_of_a_process_is_the_first(fault: str) -> None:
    crash = judge(fault + PANIC)[-1]
    assert not crash.secondary
    assert not any(hint.startswith("Secondary") for hint in crash.hints)


@pytest.mark.parametrize("shown", [ARM_REGISTERS, ARM64_REGISTERS, X86_CODE], ids=["arm", "arm64", "x86-64"])
@pytest.mark.parametrize("before", ["", HEALTHY], ids=["at the beginning", "after healthy lines"])
def test_the_registers_of_a_process_are_no_crash(shown: str, before: str) -> None:
    assert judge(before + shown) == []
    assert [incident.secondary for incident in judge(before + shown + PANIC)] == [False]


def test_an_unhandled_fault_of_the_kernel_counts() -> None:
    text = SIGNALLED["external abort"] + "".join(
        f"[  100.0003{i:02d}] {message}\n"
        for i, message in enumerate(
            [
                "Internal error: : 1018 [#1] PREEMPT SMP ARM",
                "PC is at demo_read+0x20/0x68 [demo]",
                "---[ end trace 9358d1fc4259ae2f ]---",
            ]
        )
    )
    first, second = judge(text + PANIC)
    assert (first.secondary, second.secondary) == (False, True)
    assert any("the console showed 1 before it since the board booted" in hint for hint in second.hints)


def test_a_crash_that_goes_on_after_a_silence_counts_once() -> None:
    lines = [line.encode() for line in PANIC.splitlines() if "Kernel panic" not in line]
    detector = Detector(RULES)
    judge_lines(lines[:40], detector)
    judge_lines(lines[40:], detector, 40)
    second = judge_lines(PANIC.replace("[  94", "[  99").encode().splitlines(), detector, 100)[-1]
    assert any("the console showed 1 before it" in hint for hint in second.hints)

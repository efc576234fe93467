"""Signatures: two runs of one bug have one, two bugs have two."""

from __future__ import annotations

import random
import re

import pytest

from tests.unit.kernel.kernel_console import OOPS_6_1, WARNING, judge
from tests.unit.kernel.test_kernel_architectures import ARM64_6_1, X86_64_6_12

HUNG = (
    "[  245.000001] INFO: task modprobe:1726 blocked for more than 120 seconds.\n"
    "[  245.000002]       Tainted: G           O      4.19.94-ti-r73 #1focal\n"
    "[  245.000003] [<c0112264>] (schedule) from [<bf19b018>] (demo_wait_idle+0x84/0x104 [demo])\n"
    "[  245.000004] [<bf19b018>] (demo_wait_idle [demo]) from [<bf19b118>] (demo_store+0x24/0x64 [demo])\n"
)
LOCKUP = (
    "[  100.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [modprobe:1726]\n"
    "[  100.000001] CPU: 0 PID: 1726 Comm: modprobe Not tainted 6.1.0 #1\n[  100.000002] Call trace:\n"
    "[  100.000003]  demo_spin+0x10/0x90 [demo]\n[  100.000004]  demo_init+0x10/0x90 [demo]\n"
)
BUGS = (OOPS_6_1, WARNING, X86_64_6_12, ARM64_6_1, HUNG, LOCKUP)


def another_run(text: str, seed: int) -> str:
    """The same bug on another day: addresses, offsets, pids, cpus, times and the process differ."""
    source = random.Random(seed)
    pid, comm, cpu = source.randrange(100, 32000), source.choice(["insmod", "sh", "python3"]), source.randrange(8)
    text = re.sub(
        r"\b(?=[0-9a-f]*\d)[0-9a-f]{8,16}\b", lambda m: f"{source.getrandbits(4 * len(m[0])):0{len(m[0])}x}", text
    )
    text = re.sub(
        r"\+0x[0-9a-f]+/0x[0-9a-f]+", lambda _: f"+{source.randrange(1, 99):#x}/{source.randrange(99, 999):#x}", text
    )
    text = re.sub(r"\b(?:93|175|1726)\b", str(pid), text)
    text = re.sub(r"\b(?:rmmod|modprobe|cat)\b", comm, text)
    text = re.sub(r"CPU(: |#)\d", lambda m: f"CPU{m[1]}{cpu}", text)
    text = re.sub(r"stuck for \d+s", f"stuck for {source.randrange(20, 90)}s", text)
    return re.sub(r"(?m)^\[ *\d+", lambda m: f"[{int(m[0][1:]) + source.randrange(1, 2) * 500:5}", text)


@pytest.mark.parametrize("text", BUGS, ids=["oops", "warning", "x86", "arm64", "hung", "lockup"])
def test_two_runs_of_one_bug_have_one_signature(text: str) -> None:
    (first,) = judge(text)
    for number in range(20):
        (again,) = judge(another_run(text, number))
        assert again.signature == first.signature
    assert not re.search(r"\d{3}|modprobe|rmmod|cat\b", first.signature)


def test_two_bugs_have_two_signatures() -> None:
    bugs = [OOPS_6_1, WARNING, ARM64_6_1, HUNG, LOCKUP]
    bugs += [text.replace("demo_write", "demo_erase").replace("rproc_stop", "rproc_start") for text in bugs[1:3]]
    assert len({incident.signature for text in bugs for incident in judge(text)}) == len(bugs)


def test_one_bug_has_one_signature_on_two_architectures() -> None:
    assert len({incident.signature for text in (X86_64_6_12, ARM64_6_1) for incident in judge(text)}) == 1

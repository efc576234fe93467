"""What else finds crashes in kernel logs, measured in the same run where it can be, and quoted where it cannot.

Nothing of a peer is in this project: ``grep`` is the system's; SQUAD (GPL-3.0-or-later) is used from an interpreter
that has it, which is made in a temporary folder on request.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernel_logs import KernelLog

__all__ = ["HEADER", "QUOTED", "Finding", "Result", "grep", "install_squad", "judged", "medians", "squad"]

FIVE_WORDS = "Oops|panic|BUG|WARNING|Call Trace"
"""What people grep for."""
SQUAD_NEEDS = ("Django>=3,<5", "celery", "setuptools<81")
"""What SQUAD's log parser alone imports; all that SQUAD itself needs would be forty packages."""
INSTALL_S, PEER_S = 600, 900
HEADER = (
    "",
    "crashes found",
    "ARM32",
    "alarms, tricky",
    "alarms, healthy",
    "guilty function",
    "quiet MB/s",
    "crashes MB/s",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a tool said of a log: whether something is wrong, and which functions it named as guilty."""

    found: bool
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Result:
    """A row of the table, as text."""

    name: str
    cells: tuple[str, ...]


# facts/peers.md: 804 crashes (50 of them ARM32), 35 tricky logs, 44 boots, measured once on another machine.
QUOTED = (
    Result("grep of the obvious five words", ("73.0 %", "36 of 50", "14 of 35", "14 of 44", "never", "358", "-")),
    Result("SQUAD linux_log_parser", ("37.1 %", "13 of 50", "3 of 35", "4 of 44", "20 of 543", "12.9", "-")),
    Result("logspec (kernelci)", ("29.1 %", "11 of 50", "0 of 35", "0 of 44", "never", "15.8", "-")),
    Result("LAVA start patterns", ("75.9 %", "39 of 50", "14 of 35", "14 of 44", "never", "50", "-")),
    Result("abrt strings", ("71.6 %", "36 of 50", "1 of 35", "0 of 44", "never", "38", "-")),
    Result("openQA patterns", ("77.9 %", "21 of 50", "0 of 35", "0 of 44", "never", "56", "-")),
    Result(
        "syzkaller (Go), mostly its own data", ("100 %", "50 of 50", "0 of 35", "18 of 44", "588 of 589", "100", "5.1")
    ),
)


def judged(
    name: str,
    judge: Callable[[KernelLog], Finding],
    crashes: Sequence[KernelLog],
    healthy: Sequence[KernelLog],
    speeds: tuple[float, float],
    *,
    names_functions: bool = True,
) -> Result:
    """What a tool found, and its ``speeds`` on a quiet log and on crashes, in MB/s."""
    real = [(log, judge(log)) for log in crashes if log.is_crash]
    arm = [finding.found for log, finding in real if log.arch == "arm32"]
    tricky = [judge(log).found for log in crashes if not log.is_crash]
    boots = [judge(log).found for log in healthy]
    guilty = [bool(log.guilty & finding.named) for log, finding in real if log.guilty]
    found = sum(finding.found for _, finding in real)
    cells = (
        f"{found} of {len(real)} ({found / len(real):.0%})",
        f"{sum(arm)} of {len(arm)}",
        f"{sum(tricky)} of {len(tricky)}" if tricky else "-",
        f"{sum(boots)} of {len(boots)}",
        f"{sum(guilty)} of {len(guilty)}" if names_functions else "never",
        f"{speeds[0]:.1f}",
        f"{speeds[1]:.1f}",
    )
    return Result(name, cells)


def medians(run: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Seconds of CPU time and of wall time, in the median."""
    cpu, wall = [], []
    for _ in range(rounds):
        began, started = time.perf_counter(), time.process_time()
        run()
        cpu.append(time.process_time() - started)
        wall.append(time.perf_counter() - began)
    return median(cpu), median(wall)


def grep(crashes: Sequence[KernelLog], healthy: Sequence[KernelLog], quiet: bytes, rounds: int) -> Result:
    """The five words."""

    def finds(log: KernelLog) -> Finding:
        command = ["grep", "-aqE", FIVE_WORDS]
        return Finding(subprocess.run(command, input=log.text, check=False).returncode == 0)

    data = b"".join(log.text for log in crashes)
    speeds = (_grep_mbps(quiet, rounds), _grep_mbps(data * 50, rounds))
    return judged("grep of the obvious five words", finds, crashes, healthy, speeds, names_functions=False)


def _grep_mbps(data: bytes, rounds: int) -> float:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        times = []
        for _ in range(rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(["grep", "-acE", FIVE_WORDS, file.name], capture_output=True, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return len(data) / 1e6 / max(median(times), 1e-4)


def squad(
    python: Path, crashes: Sequence[KernelLog], healthy: Sequence[KernelLog], quiet: bytes, rounds: int
) -> Result | None:
    """SQUAD's parser in an interpreter that has it; None where it has not."""
    logs = [*crashes, *healthy]
    texts = [log.text.decode("utf-8", "replace") for log in logs]
    task = json.dumps({"logs": texts[: len(crashes)], "quiet": quiet.decode(), "rounds": rounds})
    command = [str(python), "-I", str(Path(__file__).with_name("squad_peer.py"))]
    done = subprocess.run(command, input=task, capture_output=True, text=True, timeout=PEER_S, check=False)
    if done.returncode:
        return None
    answer = json.loads(done.stdout)
    rest = json.dumps({"logs": texts[len(crashes) :], "quiet": "", "rounds": 1})
    done = subprocess.run(command, input=rest, capture_output=True, text=True, timeout=PEER_S, check=True)
    names = [*answer["names"], *json.loads(done.stdout)["names"]]
    # Its names are made of what it found, in lower case with dashes: a function that stands in one is as good as named.
    said = {id(log): " ".join(some) for log, some in zip(logs, names, strict=True)}

    def finds(log: KernelLog) -> Finding:
        text = said[id(log)]
        words = set(re.split(r"[- ]", text))
        return Finding(bool(text), frozenset(name for name in log.guilty if name.lower().replace(".", "") in words))

    sizes = (len(quiet) / 1e6, sum(len(log.text) for log in crashes) / 1e6)
    speeds = (sizes[0] / median(answer["quiet_s"]), sizes[1] / median(answer["crash_s"]))
    return judged(f"SQUAD {answer['version']} linux_log_parser", finds, crashes, healthy, speeds)


def install_squad(folder: Path) -> Path:
    """Make an environment with SQUAD's log parser in a folder; tells its interpreter.

    Raises:
        subprocess.CalledProcessError: it cannot be installed here.
    """
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "--no-deps", "squad"],
        [*pip, *SQUAD_NEEDS],
    ):
        subprocess.run(command, check=True, timeout=INSTALL_S, stderr=subprocess.DEVNULL)
    return python

"""How good and how fast the judge of kernel consoles is, beside its peers in the same run.

Four claims, each with CPU time on one core: a quiet log at 400 MB/s or more; logs full of crashes, with their whole
structure, at 15 MB/s or more; live, a healthy line in 1 us and a line inside a crash in 30 us; memory flat within
64 MB over a long log. The crashes are those of the corpus where it is at hand, else the recorded ones.

    python benchmarks/scan.py [--rounds 5] [--long] [--install-peers | --peers-python PYTHON]

``--long`` takes a log of 1 GB for the memory, instead of 100 MB. ``--install-peers`` makes a temporary environment
with SQUAD; ``--peers-python`` names an interpreter that has it. Peers that cannot be measured here are quoted.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from kernel_logs import KernelLog, quiet_log, recorded_crashes, recorded_healthy_logs
from scan_peers import HEADER, QUOTED, Finding, Result, grep, install_squad, judged, medians, squad

from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.incident import Severity
from pytest_shepherd_hil.kernel.lines import parse_line
from pytest_shepherd_hil.kernel.prefilter import Prefilter
from pytest_shepherd_hil.kernel.rules import load_rules
from pytest_shepherd_hil.kernel.scan import scan_bytes, scan_stream

if TYPE_CHECKING:
    from collections.abc import Sequence

QUIET_MBPS, CRASH_MBPS, HEALTHY_US, CRASH_US, MEMORY_MB = 400.0, 15.0, 1.0, 30.0, 64.0
QUIET_BYTES, SQUAD_QUIET_BYTES = 40_000_000, 5_000_000
RULES = load_rules()


def ours(name: str, logs: Sequence[KernelLog], healthy: Sequence[KernelLog], quiet: bytes, rounds: int) -> Result:
    """This project's row."""

    def finds(log: KernelLog) -> Finding:
        fails = [incident for incident in scan_bytes(log.text, RULES) if incident.severity is Severity.FAIL]
        return Finding(bool(fails), frozenset(fails[0].function or "" for _ in fails[:1]))

    sizes = (len(quiet) / 1e6, sum(len(log.text) for log in logs) / 1e6)
    quiet_s, quiet_wall_s = medians(lambda: scan_bytes(quiet, RULES), rounds)
    crash_s, crash_wall_s = medians(lambda: [scan_bytes(log.text, RULES) for log in logs], rounds)
    walls = f"{name}: {sizes[0] / quiet_wall_s:.0f} and {sizes[1] / crash_wall_s:.1f} MB/s by the wall clock"
    print(walls)
    return judged(name, finds, logs, healthy, (sizes[0] / quiet_s, sizes[1] / crash_s))


def median_us(lines: Sequence[bytes], rounds: int) -> float:
    """Median time of a line in the live judge, with the clock's own time taken off; the median of the rounds."""
    parsed = [parse_line(raw, number) for number, raw in enumerate(lines)]
    clock, medians_us = time.perf_counter_ns, []
    for _ in range(rounds):
        detector, took = Detector(RULES), []
        for line in parsed:
            started = clock()
            detector.feed(line)
            took.append(clock() - started)
        empty = statistics.median(-clock() + clock() for _ in range(10_000))
        medians_us.append((statistics.median(took) - empty) / 1000)
    return statistics.median(medians_us)


def grown_mb(megabytes: int) -> float:
    """How much memory a scan of a log takes on top, in a process that has done nothing else."""
    command = [sys.executable, __file__, "--memory-of", str(megabytes)]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def _grown_mb_here(megabytes: int) -> float:
    def peak_kb() -> int:
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

    before = peak_kb()
    for _ in scan_stream(quiet_log(megabytes * 1_000_000), RULES):
        pass
    return (peak_kb() - before) / 1024


def print_table(rows: Sequence[Result]) -> None:
    table = [HEADER, *((row.name, *row.cells) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    for first, *rest in table:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join((f"{first:<{widths[0]}}", *cells)))


def claim(name: str, value: float, limit: float, unit: str, *, least: bool = False) -> bool:
    ok = value >= limit if least else value <= limit
    bound = "at least" if least else "at most"
    print(f"  {name:34} {value:8.2f} {unit:5} claimed: {f'{bound} {limit:g}':14} {'ok' if ok else 'MISSED'}")
    return ok


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How good and how fast the judge of kernel consoles is.")
    parser.add_argument("--rounds", type=int, default=5, help="of which the median is told (default: 5)")
    parser.add_argument("--long", action="store_true", help="measure memory over 1 GB instead of 100 MB")
    peers = parser.add_mutually_exclusive_group()
    about = "make a temporary environment with the peers, from the package index that pip is set up for"
    peers.add_argument("--install-peers", action="store_true", help=about)
    peers.add_argument("--peers-python", type=Path, metavar="PYTHON", help="an interpreter that has SQUAD installed")
    parser.add_argument("--memory-of", type=int, metavar="MEGABYTES", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.memory_of is not None:
        print(_grown_mb_here(options.memory_of))
        return 0
    rounds: int = options.rounds
    what, logs = recorded_crashes()
    healthy = recorded_healthy_logs()
    quiet = b"".join(quiet_log(QUIET_BYTES))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"{os.cpu_count()} processors, load {load} (1, 5, 15 min), Python {sys.version.split()[0]}, {what}")
    print(f"Medians of {rounds} rounds; the table has CPU time.\n")
    rows = [ours("pytest-shepherd-hil", logs, healthy, quiet, rounds)]
    if importlib.util.find_spec("hyperscan") is None:
        print("hyperscan is not installed: pip install 'pytest-shepherd-hil[fast]' for its speed")
    else:
        with mock.patch.object(Prefilter, "of", return_value=Prefilter(RULES.texts, None)):
            rows.append(ours("the same without hyperscan", logs, healthy, quiet, rounds))
    rows.append(grep(logs, healthy, quiet, rounds))
    measured = _squad(options, logs, healthy, quiet[: quiet.rindex(b"\n", 0, SQUAD_QUIET_BYTES) + 1], rounds)
    rows += [measured] if measured is not None else []
    print()
    print_table(rows)
    print("\nQuoted from facts/peers.md: other logs (804 crashes, 35 tricky ones, 44 boots), another machine")
    print_table(QUOTED)
    print("Not run here: logspec is not on the package index; LAVA, abrt, openQA and syzkaller are no Python packages.")
    print("\nClaims")
    crash = (resources.files("pytest_shepherd_hil.sim") / "logs" / "unload-panic.log").read_bytes().splitlines()
    megabytes = 1000 if options.long else 100
    found, alarms = rows[0].cells[0].split(), [rows[0].cells[column].split()[0] for column in (2, 3)]
    good = [
        claim("quiet log", float(rows[0].cells[5]), QUIET_MBPS, "MB/s", least=True),
        claim(f"{what}, structure", float(rows[0].cells[6]), CRASH_MBPS, "MB/s", least=True),
        claim("crashes found", float(found[0]), float(found[2]), "", least=True),
        claim("false alarms", sum(float(count) for count in alarms if count != "-"), 0, ""),
        claim("live, a healthy line", median_us(quiet.splitlines()[:20_000], rounds), HEALTHY_US, "us"),
        claim("live, a line inside a crash", median_us(crash, rounds), CRASH_US, "us"),
        claim(f"memory over {megabytes} MB", grown_mb(megabytes), MEMORY_MB, "MB"),
    ]
    print(f"\nload at the end {os.getloadavg()[0]:.1f}")
    return 0 if all(good) else 1


def _squad(
    options: argparse.Namespace, logs: Sequence[KernelLog], healthy: Sequence[KernelLog], quiet: bytes, rounds: int
) -> Result | None:
    """SQUAD's row; None where it is not here, which is said."""
    with tempfile.TemporaryDirectory() as folder:
        python: Path = options.peers_python or Path(sys.executable)
        if options.install_peers:
            print("Installing SQUAD into a temporary environment …")
            try:
                python = install_squad(Path(folder))
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                print(f"SQUAD cannot be installed here: {error}")
                return None
        result = squad(python, logs, healthy, quiet, min(rounds, 3))
    if result is None:
        print(f"SQUAD is not installed in {python}; --install-peers installs it for this run")
    return result


if __name__ == "__main__":
    sys.exit(main())

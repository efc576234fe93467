"""How fast the judge of kernel consoles is, and what it finds, beside grep in the same run.

Four claims, each with CPU time on one core: a quiet log at 400 MB/s or more; logs full of crashes, with their whole
structure, at 15 MB/s or more; live, a healthy line in 1 us and a line inside a crash in 30 us; memory flat within
64 MB over a log of 1 GB. The crashes are those of the corpus where it is at hand, else the two logs that come with the
package.

    python benchmarks/scan.py [ROUNDS] [MEGABYTES of the big log]
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.incident import Severity
from pytest_shepherd_hil.kernel.lines import parse_line
from pytest_shepherd_hil.kernel.rules import load_rules
from pytest_shepherd_hil.kernel.scan import scan_bytes, scan_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "kernel-logs.jsonl"
FIVE_WORDS = "Oops|panic|BUG|WARNING|Call Trace"
"""What people grep for."""
QUIET_MBPS, CRASH_MBPS, HEALTHY_US, CRASH_US, MEMORY_MB = 400.0, 15.0, 1.0, 30.0, 64.0
# facts/peers.md: measured once, on another machine, with the peers' own patterns; not all can be installed here.
PEERS = (
    ("grep of the obvious five words", "358"),
    ("SQUAD linux_log_parser", "12.9"),
    ("logspec (kernelci)", "15.8"),
    ("LAVA start patterns", "50"),
    ("abrt strings", "38"),
    ("openQA patterns", "56"),
    ("syzkaller (Go)", "100; 5.1 on crash logs"),
)
RULES = load_rules()


def quiet_log(size: int) -> Iterator[bytes]:
    """Chunks of a log of a healthy board, times going on, of about ``size`` bytes."""
    what = (
        "usb 1-1: new high-speed USB device number 2 using musb-hdrc",
        "cpsw 4a100000.ethernet eth0: Link is Up - 100Mbps/Full - flow control off",
        "remoteproc remoteproc1: remote processor 4a334000.pru is now up",
        "shprd.k: [test passed] received answer from pru0 / pipeline 1",
        "systemd[1]: Started Serial Getty on ttyS0.",
        "EXT4-fs (mmcblk0p1): re-mounted. Opts: errors=remount-ro",
        "random: crng init done",
    )
    done = number = 0
    while done < size:
        lines = [f"[{(number + i) / 1000:12.6f}] {what[(number + i) % len(what)]}\n" for i in range(10_000)]
        number += len(lines)
        chunk = "".join(lines).encode()
        done += len(chunk)
        yield chunk


def crash_logs() -> tuple[str, list[tuple[bytes, bool]]]:
    """Logs and whether they show a crash, and what they are."""
    if CORPUS.is_file():
        with CORPUS.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        return "the corpus", [(row["text"].encode(), bool(row["is_crash"])) for row in rows]
    folder = resources.files("pytest_shepherd_hil.sim") / "logs"
    return "the two packaged logs", [
        ((folder / f"{name}.log").read_bytes(), True) for name in ("unload-panic", "cma-and-pru")
    ]


def best_cpu_s(run: Callable[[], object], rounds: int) -> float:
    """CPU seconds of the fastest round: other work on the machine only ever makes it slower."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return min(times)


def grep_cpu_s(data: bytes, rounds: int) -> float:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        times = []
        for _ in range(rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(["grep", "-acE", FIVE_WORDS, file.name], stdout=subprocess.DEVNULL, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return max(min(times), 1e-4)


def grep_finds(data: bytes) -> bool:
    command = ["grep", "-aqE", FIVE_WORDS]
    return subprocess.run(command, input=data, check=False).returncode == 0


def ours_finds(data: bytes) -> bool:
    return any(incident.severity is Severity.FAIL for incident in scan_bytes(data, RULES))


def median_us(lines: list[bytes]) -> float:
    """Median time of a line in the live judge, with the clock's own time taken off."""
    detector = Detector(RULES)
    parsed = [parse_line(raw, number) for number, raw in enumerate(lines)]
    clock, took = time.perf_counter_ns, []
    for line in parsed:
        started = clock()
        detector.feed(line)
        took.append(clock() - started)
    empty = statistics.median(-clock() + clock() for _ in range(10_000))
    return (statistics.median(took) - empty) / 1000


def row(name: str, ours: str, limit: str, peer: str, *, ok: bool) -> bool:
    print(f"{name:34} {ours:>16} {limit:>14} {peer:>16}  {'ok' if ok else 'MISSED'}")
    return ok


def main(rounds: int, big_mb: int) -> int:
    good = []
    print(f"{'':34} {'ours':>16} {'claim':>14} {'grep, this run':>16}")
    quiet = b"".join(quiet_log(40_000_000))
    mega = len(quiet) / 1e6
    rate, peer = mega / best_cpu_s(lambda: scan_bytes(quiet, RULES), rounds), mega / grep_cpu_s(quiet, rounds)
    good.append(row("quiet log", f"{rate:.0f} MB/s", f"{QUIET_MBPS:.0f}", f"{peer:.0f} MB/s", ok=rate >= QUIET_MBPS))
    what, logs = crash_logs()
    data = [text for text, _ in logs]
    mega = sum(map(len, data)) / 1e6
    rate = mega / best_cpu_s(lambda: [scan_bytes(text, RULES) for text in data], rounds)
    peer = mega / grep_cpu_s(b"".join(data), rounds)
    good.append(
        row(f"{what}, structure", f"{rate:.1f} MB/s", f"{CRASH_MBPS:.0f}", f"{peer:.0f} MB/s", ok=rate >= CRASH_MBPS)
    )
    healthy = min(median_us(quiet.splitlines()[:20_000]) for _ in range(rounds))
    good.append(row("live, healthy line", f"{healthy:.2f} us", f"{HEALTHY_US:.0f}", "-", ok=healthy <= HEALTHY_US))
    crash = (resources.files("pytest_shepherd_hil.sim") / "logs" / "unload-panic.log").read_bytes().splitlines()
    inside = min(median_us(crash) for _ in range(rounds))
    good.append(row("live, line inside a crash", f"{inside:.2f} us", f"{CRASH_US:.0f}", "-", ok=inside <= CRASH_US))
    crashes = [text for text, is_crash in logs if is_crash]
    healthy_logs = [text for text, is_crash in logs if not is_crash]
    found, missed = sum(map(ours_finds, crashes)), sum(map(grep_finds, crashes))
    good.append(
        row(
            "crashes found",
            f"{found} of {len(crashes)}",
            "all",
            f"{missed} of {len(crashes)}",
            ok=found == len(crashes),
        )
    )
    alarms, theirs = sum(map(ours_finds, healthy_logs)), sum(map(grep_finds, healthy_logs))
    total = len(healthy_logs)
    good.append(row("false alarms", f"{alarms} of {total}", "none", f"{theirs} of {total}", ok=alarms == 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in scan_stream(quiet_log(big_mb * 1_000_000), RULES):
        pass
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    good.append(row(f"memory over {big_mb} MB", f"+{grown:.0f} MB", f"{MEMORY_MB:.0f}", "-", ok=grown <= MEMORY_MB))
    print("\nquiet log, MB/s, as facts/peers.md has it (another machine): ")
    for name, rate_text in PEERS:
        print(f"  {name:32} {rate_text}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(arguments + [5, 1000][len(arguments) :])))

"""The main job, end to end, on embedded boards: ``make demo``.

Runs the board suite on a healthy board, where it passes, and on three faulty ones, where it must fail: for the right
reason, in the right function, with the evidence on disk. Exits 0 only if all of that is so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("console.txt", "incident.txt", "incident.json", "shell.txt")
LIMIT_S = 120


@dataclass(frozen=True)
class Fault:
    """What a faulty board's failures must show."""

    board: str
    story: str
    kind: str
    function: str | None
    module: str | None
    headline: str
    capture_in: str | None = None
    """A test, by a part of its name, in which the analyzer was recording."""


FAULTS = (
    Fault(
        "sim-racy",
        "the user's own panic: the module's timer outlives what it reads",
        kind="oops",
        function="pru0_comm_receive_msg",
        module="shepherd",
        headline="kernel oops, then panic: NULL pointer dereference at 0x1c1 in pru0_comm_receive_msg+0x28 [shepherd] "
        "while unloading shepherd (board sim-racy)",
        capture_in="test_sync_line",
    ),
    Fault("sim-cma", "reloads leak CMA memory", "cma-alloc-failure", None, None, "CMA allocation failed: 3811 pages"),
    Fault("sim-pru", "a PRU stops answering", "pru-timeout", None, None, "PRU did not answer"),
)


def main() -> int:
    started = time.monotonic()
    evidence = ROOT / "hil-evidence"
    problems: list[str] = []
    say("A healthy board: the suite passes.")
    if run("sim01", evidence).returncode != 0:
        problems.append("sim01: the suite did not pass")
    for fault in FAULTS:
        say(f"{fault.board}: {fault.story}.")
        problems += [f"{fault.board}: {problem}" for problem in check(fault, evidence)]
    if problems:
        say("The demo did NOT show what it should:")
        print(*problems, sep="\n")
        return 1
    say(f"All as it should be, after {time.monotonic() - started:.0f} s. The evidence lies in {evidence}")
    return 0


def say(text: str) -> None:
    print(f"\n=== {text}", flush=True)


def run(board: str, evidence: Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pytest", "--board", board, "--hil-evidence", str(evidence), "tests/hil"]
    print(f"$ pytest --board {board} tests/hil", flush=True)
    return subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=False)


def check(fault: Fault, evidence: Path) -> list[str]:
    """Run the suite on a faulty board; returns what was not as it should be."""
    with tempfile.TemporaryDirectory(prefix="run-", dir=made(evidence)) as marker:
        since = Path(marker).stat().st_mtime_ns
    if run(fault.board, evidence).returncode != 1:
        return ["pytest should have ended with exit status 1: tests failed"]
    runs = [folder for folder in evidence.glob(f"*-{fault.board}-*") if folder.stat().st_mtime_ns >= since]
    if len(runs) != 1:
        return [f"expected one new folder of evidence, found {len(runs)}"]
    folders = sorted(folder for folder in runs[0].iterdir() if folder.is_dir())
    if not folders:
        return [f"no failed test left evidence in {runs[0]}"]
    missing = [f"{folder.name}/{name}" for folder in folders for name in FILES if empty(folder / name)]
    problems = [f"{name} is missing or empty" for name in missing]
    if problems:
        return problems
    for folder in folders:
        incidents = json.loads((folder / "incident.json").read_text())["incidents"]
        first = next((one for one in incidents if one["severity"] == "fail"), None)
        if first is None:
            problems.append(f"{folder.name}: no failing incident")
            continue
        seen = (first["kind"], first["function"], first["module"])
        if seen != (fault.kind, fault.function, fault.module):
            problems.append(f"{folder.name}: found {seen}")
        if fault.headline not in first["headline"]:
            problems.append(f"{folder.name}: headline {first['headline']!r}")
        if fault.capture_in is not None and fault.capture_in in folder.name:
            pins = [name for name in ("capture.sr", "capture.svg") if empty(folder / name)]
            problems += [f"{folder.name}: {name} is missing or empty" for name in pins]
    if fault.capture_in is not None and not any(fault.capture_in in folder.name for folder in folders):
        problems.append(f"{fault.capture_in} should have failed")
    return problems


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def empty(path: Path) -> bool:
    return not path.is_file() or path.stat().st_size == 0


if __name__ == "__main__":
    sys.exit(main())

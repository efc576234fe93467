"""What the guard costs and how soon it is there, beside labgrid and pytest-embedded on the same kind of pty.

    python benchmarks/guard.py [--only PART ...] [--peers-python PYTHON | --make-peers] [--board sim|qemu] ...

Each line has our figure, the issue's, and the peers'. A figure of a peer in brackets is quoted from facts/peers.md, as
measured once on another machine; the others are of this run. The peers live in an environment of their own, which
``--make-peers`` makes for this run; ours never has them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pty
import random
import select
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tty
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pytest_shepherd_hil.sim.logs import UNLOAD_PANIC, log_lines  # noqa: E402
from pytest_shepherd_hil.sim.process import SimProcess  # noqa: E402
from tests.plugin.conftest import bench_toml  # noqa: E402
from tests.unit.guard.generated import Run, outcome  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDS = Path(__file__).with_name("console_ends.py")
PEERS = ("labgrid", "pytest-embedded")
VERSIONS = ("labgrid==26.0.1", "pytest-embedded==2.9.3", "pytest-embedded-serial==2.9.3")
QUOTED = {
    ("oops", "labgrid"): "10.01 s",
    ("oops", "pytest-embedded"): "10.01 s",
    ("match", "labgrid"): "1.1 ms",
    ("match", "pytest-embedded"): "29 ms",
    ("idle", "pytest-embedded"): "14 %",
    ("flood", "labgrid"): "0.35 MB/s",
    ("flood", "pytest-embedded"): "0.08 MB/s",
}
LAST_LINE = b"---[ end trace"
OOPS = [line.text for line in log_lines(UNLOAD_PANIC)]
OOPS = OOPS[: next(number for number, text in enumerate(OOPS) if text.startswith(LAST_LINE.decode())) + 1]


@dataclass
class Report:
    """The table that is printed, and whether all is as claimed."""

    peers: str | None
    good: list[bool] = field(default_factory=list)

    def row(self, what: str, ours: str, claim: str, ok: bool, **peers: str) -> None:
        self.good.append(ok)
        said = [f"{name} {value}" for name, value in peers.items()]
        print(f"{what:46} {ours:>16}  claim {claim:>10}  {'ok    ' if ok else 'MISSED'}  {'; '.join(said)}", flush=True)

    def of_peers(self, part: str, measure: Callable[[str, str], str]) -> dict[str, str]:
        """Each peer's figure: measured now where the peers are there, else quoted."""
        figures = {}
        for peer in PEERS:
            quoted = QUOTED.get((part, peer))
            told = f"[{quoted}]" if quoted else "not installed"
            if self.peers is not None:
                try:
                    told = measure(self.peers, peer)
                except (OSError, TimeoutError, subprocess.SubprocessError, ValueError) as error:
                    told = f"failed: {type(error).__name__} {error}"[:60]
            figures[peer] = told
        return figures


class End:
    """A process that reads a console, and the other end of its wire."""

    def __init__(self, python: str, who: str, what: str) -> None:
        self.wire, slave = pty.openpty()
        tty.setraw(slave)
        command = [python, str(ENDS), who, what, os.ttyname(slave)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)} if who == "ours" else dict(os.environ)
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environment
        )
        self._slave = slave  # so that the pty lives until it is opened

    def answer(self, timeout_s: float) -> dict[str, Any]:
        """The next line that it says."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            raise TimeoutError(f"no answer within {timeout_s:g} s")
        line = b""
        while not line.endswith(b"\n"):
            byte = os.read(self._process.stdout.fileno(), 1)
            if not byte:
                raise OSError("it ended")
            line += byte
        found: dict[str, Any] = json.loads(line)
        return found

    def say(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.wire, view) :]

    def warm(self, timeout_s: float = 60.0) -> None:
        """Talk until it listens: it flushes what came before it had opened the port."""
        stop = threading.Event()

        def talk() -> None:
            number = 0
            while not stop.wait(0.3):
                self.say(f"[{number:5d}.000000] warm\r\n".encode())
                number += 0

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            self.ready = self.answer(timeout_s)
        finally:
            stop.set()
            thread.join()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self.wire)
        os.close(self._slave)


@contextlib.contextmanager
def end(python: str, who: str, what: str) -> Iterator[End]:
    made = End(python, who, what)
    try:
        yield made
    finally:
        made.close()


# what any reader of a console does


def match_ms(python: str, who: str, rounds: int) -> list[float]:
    """From a byte on the wire to the return of an ``expect`` that waits for it."""
    times = []
    with end(python, who, "match") as reader:
        reader.answer(60)
        time.sleep(0.5)
        for number in range(rounds):
            time.sleep(random.uniform(0.02, 0.06))
            sent = time.monotonic_ns()
            reader.say(f"token-{number}-\r\n".encode())
            times.append((reader.answer(30)["matched"] - sent) / 1e6)
    return times


def idle_core(python: str, who: str) -> float:
    """The share of a core that a reader takes while the console is silent."""
    with end(python, who, "idle") as reader:
        reader.warm()
        return float(reader.ready["core"])


def kernel_talk(size: int) -> bytes:
    what = (
        "usb 1-1: new high-speed USB device number 2 using musb-hdrc",
        "remoteproc remoteproc1: remote processor 4a334000.pru is now up",
        "shprd.k: [test passed] received answer from pru0 / pipeline 1",
        "random: crng init done",
    )
    lines, done, number = [], 0, 0
    while done < size:
        lines.append(f"[{1 + number / 1000:12.6f}] {what[number % len(what)]}\r\n")
        done += len(lines[-1])
        number += 1
    return "".join(lines).encode()


def flood_mbps(python: str, who: str, size: int) -> tuple[float, float]:
    """MB a second of CPU and of wall time through an ``expect`` with six patterns, of which the last matches."""
    data = kernel_talk(size) + b"ALL OF IT\r\n"
    with end(python, who, "flood") as reader:
        reader.warm()
        started = time.monotonic_ns()
        reader.say(data)
        told = reader.answer(600)
        return size / 1e6 / told["cpu_s"], size / 1e3 / (told["matched"] - started) * 1e6


def oops_s(python: str, who: str) -> tuple[float, bool]:
    """From the last line of an Oops to the end of an ``expect`` of 10 s, and whether what is said names the Oops."""
    with end(python, who, "oops") as reader:
        reader.answer(60)
        time.sleep(0.5)
        reader.say("".join(f"[  942.{number:06d}] {text}\r\n" for number, text in enumerate(OOPS)).encode())
        said = time.monotonic_ns()
        told = reader.answer(60)
        names = "oops" in told["says"].lower() or "NULL pointer" in told["says"]
        return (told["failed"] - said) / 1e9, names


# what only the plugin does


class Relay:
    """A pty between the embedded board's UART and pytest: notes when a line of interest goes over it."""

    def __init__(self, port: str) -> None:
        self._board = os.open(port, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._board)
        self._host, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.times: list[int] = []
        self._stop_r, self._stop_w = os.pipe()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        rest = b""
        while True:
            ready, _, _ = select.select([self._board, self._host, self._stop_r], [], [])
            if self._stop_r in ready:
                return
            if self._host in ready:
                os.write(self._board, os.read(self._host, 4096))
            if self._board in ready:
                data = os.read(self._board, 4096)
                rest += data
                *lines, rest = rest.split(b"\n")
                now = time.monotonic_ns()
                self.times += [now for line in lines if LAST_LINE in line]
                os.write(self._host, data)

    def close(self) -> None:
        os.write(self._stop_w, b"x")
        self._thread.join()
        for descriptor in (self._board, self._host, self._slave, self._stop_r, self._stop_w):
            os.close(descriptor)


CONFTEST = """
import json, pytest, time
told = open("told.jsonl", "w")

def tell(**what):
    told.write(json.dumps(what) + "\\n")
    told.flush()

def pytest_runtest_logreport(report):
    if report.when == "call":
        tell(test=report.nodeid, outcome=report.outcome, at=time.monotonic_ns())

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    started = time.perf_counter()
    result = yield
    tell(took=item.nodeid, ms=(time.perf_counter() - started) * 1e3)
    return result

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    try:
        return (yield)
    finally:
        tell(body=pyfuncitem.nodeid, at=time.monotonic_ns())
"""


def pytest_run(folder: Path, board: str, source: str, timeout_s: float) -> list[dict[str, Any]]:
    """Run a test file in ``folder``; what its conftest has told."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_bench.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-q", "--board", board, "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "-p", "no:hypothesispytest", "-p", "no:timeout"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    told = [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]
    if not told:
        print(run.stdout[-3000:], run.stderr[-1000:])
    return told


SIM_OOPS = """
import pytest, time
from pytest_shepherd_hil.sim.control import SimControl
OOPS = {oops!r}

@pytest.mark.parametrize("number", range({rounds}))
def test_oops(number, board, shell, console):
    SimControl({path!r}).kernel_lines("\\n".join(OOPS))
    if number % 3 == 0: time.sleep(60)
    if number % 3 == 1: shell.run("sleep 60", timeout_s=70)
    console.expect("never", timeout_s=60)
"""
QEMU_OOPS = """
import json, pytest, time
TRIGGER = "modprobe hilfault; echo {fault} > /sys/kernel/debug/hilfault/trigger; sleep 60"

@pytest.fixture(autouse=True)
def last_lines(board):
    yield
    times = [line.time_ns for line in board.log.lines() if {last!r} in line.text]
    with open("last.json", "w") as file: json.dump(times, file)

@pytest.mark.parametrize("number", range({rounds}))
def test_oops(number, board, shell):
    shell.run(TRIGGER, timeout_s=70, check=False)
    time.sleep(60)
"""


def failing_ms_sim(rounds: int) -> tuple[list[float], list[float]]:
    """From the last line of an Oops to the end of the test's body, and to pytest's report of its failure."""
    with tempfile.TemporaryDirectory() as name, SimProcess.start() as sim:
        relay = Relay(sim.uart)
        try:
            folder = Path(name)
            (folder / "boards.toml").write_text(bench_toml(sim, port=relay.path))
            source = SIM_OOPS.format(oops=OOPS, rounds=rounds, path=str(sim.control.path))
            told = pytest_run(folder, "bench", source, 60 + 20 * rounds)
        finally:
            relay.close()
        return _after(told, relay.times)


def failing_ms_qemu(rounds: int) -> tuple[list[float], list[float]]:
    """The same on a real kernel; its last lines' times are those of our own reader."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "boards.toml").write_text((ROOT / "boards.toml").read_text())
        source = QEMU_OOPS.format(fault="null-read", last=LAST_LINE.decode(), rounds=rounds)
        told = pytest_run(folder, "qemu01", source, 120 + 60 * rounds)
        return _after(told, json.loads((folder / "last.json").read_text()))


def _after(told: list[dict[str, Any]], last_lines: list[int]) -> tuple[list[float], list[float]]:
    bodies = [one["at"] for one in told if "body" in one]
    reports = [one["at"] for one in told if one.get("outcome") == "failed"]
    if not len(bodies) == len(reports) == len(last_lines):
        raise ValueError(f"{len(last_lines)} Oopses, {len(bodies)} tests, {len(reports)} failures")
    return (
        [(at - said) / 1e6 for at, said in zip(bodies, last_lines, strict=True)],
        [(at - said) / 1e6 for at, said in zip(reports, last_lines, strict=True)],
    )


FENCES = """
import json, pytest, time

@pytest.mark.parametrize("number", range({rounds}))
def test_empty(board, number): pass

def test_fences(board):
    found = []
    for _ in range({rounds}):
        started = time.perf_counter()
        after = board.fences.cross(lambda: False)
        took = time.perf_counter() - started
        characters = len(board.log.lines(after - 1)[0].raw) + 2
        found.append((took * 1e3, characters))
        time.sleep(0.01)
    with open("fences.json", "w") as file: json.dump(found, file)
"""


def fences(board: str, rounds: int) -> tuple[list[float], int, list[float]]:
    """What a fence costs beyond its own characters at 115200 baud, how many these are, and what an empty test costs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "boards.toml").write_text((ROOT / "boards.toml").read_text())
        told = pytest_run(folder, board, FENCES.format(rounds=rounds), 120 + 2 * rounds)
        found = json.loads((folder / "fences.json").read_text())
        beyond = [took - characters * 10 / 115.2 for took, characters in found]
        empty = [one["ms"] for one in told if "test_empty" in one.get("took", "")]
        return beyond, max(characters for _, characters in found), empty[1:]  # the first opens the board


# the parts


def part_oops(report: Report, options: argparse.Namespace) -> None:
    for board in options.board:
        rounds = options.rounds if board == "sim" else max(options.rounds // 10, 3)
        bodies, reports = failing_ms_sim(rounds) if board == "sim" else failing_ms_qemu(rounds)
        peers = report.of_peers("oops", _peer_oops) if board == "sim" else {}
        median, p99 = statistics.median(reports), sorted(reports)[int(len(reports) * 0.99)]
        report.row(
            f"{board}: Oops to test failed, median of {rounds}", f"{median:.0f} ms", "50 ms", median <= 50, **peers
        )
        report.row(f"{board}: the same, 99th of a hundred", f"{p99:.0f} ms", "200 ms", p99 <= 200)
        print(f"  (to the end of the test's body: {statistics.median(bodies):.0f} ms, longest {max(bodies):.0f} ms)")


def _peer_oops(python: str, peer: str) -> str:
    took_s, names = oops_s(python, peer)
    return f"{took_s:.2f} s, {'names it' if names else 'does not name it'}"


def part_match(report: Report, options: argparse.Namespace) -> None:
    rounds = max(options.rounds, 100)
    peers = report.of_peers("match", lambda python, peer: f"{statistics.median(match_ms(python, peer, 50)):.2f} ms")
    median = statistics.median(match_ms(sys.executable, "ours", rounds))
    report.row("byte on the wire to matched expect, median", f"{median:.2f} ms", "0.5 ms", median <= 0.5, **peers)


def part_idle(report: Report, options: argparse.Namespace) -> None:
    del options
    peers = report.of_peers("idle", lambda python, peer: f"{idle_core(python, peer):.1%}")
    core = idle_core(sys.executable, "ours")
    report.row("idle watch and expect, share of a core", f"{core:.2%}", "0.5 %", core <= 0.005, **peers)


def part_flood(report: Report, options: argparse.Namespace) -> None:
    del options
    size = 10_000_000
    peers = report.of_peers(
        "flood", lambda python, peer: f"{flood_mbps(python, peer, size // 20)[1]:.2f} MB/s (0.5 MB)"
    )
    ours = [flood_mbps(sys.executable, "ours", size) for _ in range(3)]
    cpu, wall = max(cpu for cpu, _ in ours), max(wall for _, wall in ours)
    report.row("10 MB through expect, six patterns, CPU", f"{cpu:.0f} MB/s", "50 MB/s", cpu >= 50, **peers)
    quarter = max(flood_mbps(sys.executable, "ours", size // 4)[0] for _ in range(3))
    report.row("  linear: 4 times as much takes", f"{4 * quarter / cpu:.1f} times", "4", 4 * quarter / cpu <= 5)
    print(f"  (recorded on disk and judged, too; {wall:.0f} MB/s by the clock on this machine)")


def part_fence(report: Report, options: argparse.Namespace) -> None:
    for board in options.board:
        name = {"sim": "sim01", "qemu": "qemu01"}[board]
        beyond, characters, empty = fences(name, max(options.rounds // 2, 20))
        cost, test = statistics.median(beyond), statistics.median(empty)
        limit = board == "sim"
        report.row(f"{board}: fence beyond its characters", f"{cost:.1f} ms", "15 ms", not limit or cost <= 15)
        report.row(f"{board}: characters of a fence", str(characters), "60", characters <= 60)
        report.row(f"{board}: empty test in all", f"{test:.1f} ms", "30 ms", not limit or test <= 30)


def part_attribution(report: Report, options: argparse.Namespace) -> None:
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    run = Run(random.Random(seed))
    run.make(10_000)
    wrong, lost = outcome(run)
    late = len(run.late) / len(run.guilty)
    print(f"  (seed {seed}: {len(run.guilty)} incidents in {len(run.tests)} tests, {late:.0%} came after the fence)")
    report.row("incidents charged to the wrong test", str(len(wrong)), "0", not wrong)
    report.row("incidents lost", str(len(lost)), "0", not lost)


PARTS = {
    "oops": part_oops,
    "match": part_match,
    "idle": part_idle,
    "flood": part_flood,
    "fence": part_fence,
    "attribution": part_attribution,
}


@contextlib.contextmanager
def peers_python(options: argparse.Namespace) -> Iterator[str | None]:
    if not options.make_peers:
        yield options.peers_python
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *VERSIONS], check=True)
        yield python


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--board", nargs="+", choices=("sim", "qemu"), default=["sim"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, help="of the randomized run")
    parser.add_argument("--peers-python", help="a Python that has labgrid and pytest-embedded-serial")
    parser.add_argument("--make-peers", action="store_true", help="make such a Python for this run (takes a network)")
    options = parser.parse_args()
    with peers_python(options) as peers:
        report = Report(peers)
        print(f"load of this machine: {' '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")
        if peers is None:
            print("peers: not installed; figures in brackets are quoted from facts/peers.md")
        for part in options.only:
            PARTS[part](report, options)
        print(f"load at the end: {os.getloadavg()[0]:.1f}")
    return 0 if all(report.good) else 1


if __name__ == "__main__":
    sys.exit(main())

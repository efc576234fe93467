"""What the plugin costs where it is installed but not used.

One empty test, with the plugin and with ``-p no:shepherd_hil``, in the same environment, in turn. The claim: at most
20 ms in the median.

    python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMIT_MS = 20.0
VARIANTS = {
    "installed, not used": [],
    "-p no:shepherd_hil": ["-p", "no:shepherd_hil", "-p", "no:shepherd_hil_board"],
}


def run_once(folder: Path, options: list[str]) -> tuple[float, float]:
    """Milliseconds of one pytest run: from start to end, and of CPU time."""
    # hypothesis, which only our tests need, takes longer than all the rest; without it there is less noise
    common = ["-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-m", "pytest", *common, *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall_s * 1000, cpu_s * 1000


def main(rounds: int) -> int:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_empty.py").write_text("def test_nothing() -> None:\n    pass\n")
        (folder / "pytest.ini").write_text("[pytest]\n")
        for options in VARIANTS.values():
            run_once(folder, options)
        for _ in range(rounds):
            for variant, options in VARIANTS.items():
                times[variant].append(run_once(folder, options))
    medians = []
    for variant, measured in times.items():
        wall, cpu = ([run[column] for run in measured] for column in (0, 1))
        median, cpu_median = statistics.median(wall), statistics.median(cpu)
        medians.append((median, cpu_median))
        print(f"{variant:20} median {median:6.1f} ms, best {min(wall):6.1f} ms; CPU median {cpu_median:6.1f} ms")
    (used, used_cpu), (bare, bare_cpu) = medians
    print(f"{'cost':20} median {used - bare:6.1f} ms; CPU median {used_cpu - bare_cpu:6.1f} ms")
    print(f"limit {LIMIT_MS:.0f} ms; {rounds} rounds each, in turn")
    return 0 if used - bare <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))

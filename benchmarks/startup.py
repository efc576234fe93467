"""What the plugin costs where it is installed but not used.

One empty test, with the plugin and with ``-p no:shepherd_hil``, in the same environment, in turn. The claim: at most
20 ms in the median.

    python benchmarks/startup.py [ROUNDS]
"""

from __future__ import annotations

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


def run_once(folder: Path, options: list[str]) -> float:
    """Milliseconds from start to end of one pytest run."""
    # hypothesis, which only our tests need, takes longer than all the rest; without it there is less noise
    common = ["-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-m", "pytest", *common, *options]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - started) * 1000


def main(rounds: int) -> int:
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_empty.py").write_text("def test_nothing() -> None:\n    pass\n")
        (folder / "pytest.ini").write_text("[pytest]\n")
        for options in VARIANTS.values():
            run_once(folder, options)
        for _ in range(rounds):
            for variant, options in VARIANTS.items():
                times[variant].append(run_once(folder, options))
    for variant, measured in times.items():
        print(f"{variant:22} median {statistics.median(measured):7.1f} ms   best {min(measured):7.1f} ms")
    used, bare = (statistics.median(measured) for measured in times.values())
    print(f"{'cost':22} median {used - bare:7.1f} ms   limit {LIMIT_MS:.0f} ms, {rounds} rounds each, in turn")
    return 0 if used - bare <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))

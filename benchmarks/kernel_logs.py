"""The kernel logs that benchmarks measure on, with what is right about them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["KernelLog", "quiet_log", "recorded_crashes", "recorded_healthy_logs"]

ROOT = Path(__file__).parents[1]
CORPUS = ROOT.parent / "shared" / "corpus" / "kernel-logs.jsonl"
RECORDED = ROOT / "tests" / "data" / "kernel"
QUIET = (
    "usb 1-1: new high-speed USB device number 2 using musb-hdrc",
    "cpsw 4a100000.ethernet eth0: Link is Up - 100Mbps/Full - flow control off",
    "remoteproc remoteproc1: remote processor 4a334000.pru is now up",
    "shprd.k: [test passed] received answer from pru0 / pipeline 1",
    "systemd[1]: Started Serial Getty on ttyS0.",
    "EXT4-fs (mmcblk0p1): re-mounted. Opts: errors=remount-ro",
    "random: crng init done",
)


@dataclass(frozen=True, slots=True)
class KernelLog:
    """A log and its answer.

    Attributes:
        guilty: names that are right for the guilty function; empty where none is known.
    """

    text: bytes
    arch: str
    is_crash: bool
    guilty: frozenset[str]


def quiet_log(size: int) -> Iterator[bytes]:
    """Chunks of a log of a healthy board, times going on, of about ``size`` bytes."""
    done = number = 0
    while done < size:
        lines = [f"[{(number + i) / 1000:12.6f}] {QUIET[(number + i) % len(QUIET)]}\n" for i in range(10_000)]
        number += len(lines)
        chunk = "".join(lines).encode()
        done += len(chunk)
        yield chunk


def recorded_crashes() -> tuple[str, list[KernelLog]]:
    """Crashes and what only looks like one, and where they are from: the corpus, or else this repository."""
    if CORPUS.is_file():
        with CORPUS.open(encoding="utf-8") as file:
            return "the corpus", [_of_corpus(json.loads(line)) for line in file]
    folder = resources.files("pytest_shepherd_hil.sim") / "logs"
    packaged = [(folder / f"{name}.log").read_bytes() for name in ("unload-panic", "cma-and-pru")]
    logs = [KernelLog(text, "arm32", True, frozenset()) for text in packaged]
    return "the recorded logs", logs + [log for log in _recorded() if log.is_crash]


def recorded_healthy_logs() -> list[KernelLog]:
    """Boots, reloads and floods of the virtual board, in which nothing went wrong."""
    return [log for log in _recorded() if not log.is_crash]


def _of_corpus(row: dict[str, object]) -> KernelLog:
    guilty: set[str] = set()
    if row["is_crash"] and row["frame"] and not row["corrupted"]:
        alternatives = row["alt"] if isinstance(row["alt"], list) else []
        guilty = {str(row["frame"]), *(str(title).rpartition(" in ")[2] for title in alternatives)}
    return KernelLog(str(row["text"]).encode(), str(row["arch"]), bool(row["is_crash"]), frozenset(guilty))


def _recorded() -> list[KernelLog]:
    found = []
    for path in sorted(RECORDED.glob("*.log")):
        incidents = json.loads(path.with_suffix(".json").read_text())["incidents"]
        functions = frozenset(each["function"] for each in incidents if each["function"])
        found.append(KernelLog(path.read_bytes(), "arm32", bool(incidents), functions))
    return found

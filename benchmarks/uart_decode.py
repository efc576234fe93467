"""How fast our UART decoder is beside sigrok's two, on the same captures in the same run, with equal answers.

A console at 115200 baud says a kernel's log without a pause; on the other channels is nothing, or seven more such
consoles. CPU time on one core, medians; other work on the machine takes from its caches and makes all of them slower.
The claims: 300 MSa/s at 4 MHz and 150 MSa/s at 1 MHz, 30 times sigrok-cli and 300 times pysigrok; live at 24 MSa/s on a
tenth of a core; memory does not grow.

    python benchmarks/uart_decode.py [ROUNDS of ours] [ROUNDS of the peers] [CHARACTERS]
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.logic import Capture
from pytest_shepherd_hil.logic.uart import UartDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BAUD = 115200
CLAIMS_MSPS = {1: 150.0, 4: 300.0}
TIMES_SIGROK_CLI, TIMES_PYSIGROK = 30.0, 300.0
LIVE_MSPS, LIVE_CORE = 24, 0.1
LIVE_CHUNK = 1 << 16
"""What a pipe holds."""
MEMORY_MB = 32.0


def console_text(characters: int) -> bytes:
    logs = resources.files("pytest_shepherd_hil.sim") / "logs"
    text = b"".join((logs / f"{name}.log").read_bytes() for name in ("unload-panic", "cma-and-pru"))
    return (text * (characters // len(text) + 1))[:characters]


def line(text: bytes, samplerate: int) -> NDArray[np.uint8]:
    """The levels of a line that says the text, with a frame's length of idle around it."""
    data = np.frombuffer(text, np.uint8)
    bits = np.ones((len(data), 10), np.uint8)
    bits[:, 0] = 0
    bits[:, 1:9] = np.unpackbits(data[:, None], axis=1, bitorder="little")
    idle = np.ones(12, np.uint8)
    every = np.concatenate([idle, bits.ravel(), idle])
    ends = np.ceil(np.arange(1, len(every) + 1) * (samplerate / BAUD) + 0.3).astype(np.int64)
    return np.repeat(every, np.diff(ends, prepend=0))


def capture_of(text: bytes, samplerate: int, neighbours: int) -> Capture:
    console = line(text, samplerate)
    samples = console.copy()
    for channel in range(1, neighbours + 1):
        samples |= np.roll(console, channel * len(console) // 9 + channel) << channel
    return Capture(samplerate, tuple(f"D{channel}" for channel in range(neighbours + 1)), samples.tobytes())


def median_cpu_s(run: Callable[[], object], rounds: int, who: int = resource.RUSAGE_SELF) -> float:
    times = []
    for _ in range(rounds):
        before = resource.getrusage(who)
        run()
        after = resource.getrusage(who)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(times)


def ours(capture: Capture) -> bytes:
    return capture.uart("D0", BAUD).data


def ours_from_file(file: Path) -> bytes:
    return Capture.load(file).uart("D0", BAUD).data


def sigrok_cli(file: Path) -> bytes:
    command = ["sigrok-cli", "-i", str(file), "-P", f"uart:rx=D0:baudrate={BAUD}", "-B", "uart=rx"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout


def pysigrok(file: Path) -> bytes:
    from decoders.uart import Decoder
    from sigrokdecode import OUTPUT_PYTHON, run_decoders
    from sigrokdecode.output import Output
    from sigrokdecode.srzip import SrZipInput

    said = bytearray()

    class Collect(Output):  # type: ignore[misc]  # pysigrok is not typed
        def output(self, _source: object, _start: int, _end: int, data: list[object]) -> None:
            if data[0] == "DATA":
                said.append(data[2][0])  # type: ignore[index]

    reader = SrZipInput(str(file))
    options = {option["id"]: option["default"] for option in Decoder.options} | {"baudrate": BAUD}
    stack = [{"id": "uart", "cls": Decoder, "options": options, "pin_mapping": {"rx": 0}}]
    try:
        run_decoders(reader, Collect(), stack, output_type=OUTPUT_PYTHON)
    finally:
        reader.zip.close()
    return bytes(said)


def row(what: str, measured: str, claim: str, *, ok: bool) -> bool:
    print(f"{what:44} {measured:>22} {claim:>18}  {'ok' if ok else 'MISSED'}", flush=True)
    return ok


def load() -> str:
    one, five, _ = os.getloadavg()
    return f"load {one:.1f} (1 min), {five:.1f} (5 min) on {os.cpu_count()} cores"


def compare(text: bytes, mega: int, neighbours: int, rounds: int, peer_rounds: int, folder: Path) -> bool:
    capture = capture_of(text, mega * 1_000_000, neighbours)
    file = folder / f"{mega}-{neighbours}.sr"
    capture.save(file)
    for decoder, said in (("ours", ours(capture)), ("sigrok-cli", sigrok_cli(file)), ("pysigrok", pysigrok(file))):
        if said != text:
            print(f"{decoder} gives another text at {mega} MHz: {said[:60]!r}")
            return False
    msa = len(capture) / 1e6
    beside = f"{neighbours} busy neighbours" if neighbours else "alone"
    rate = msa / median_cpu_s(lambda: ours(capture), rounds)
    from_file = msa / median_cpu_s(lambda: ours_from_file(file), rounds)
    cli = msa / median_cpu_s(lambda: sigrok_cli(file), peer_rounds, resource.RUSAGE_CHILDREN)
    python = msa / median_cpu_s(lambda: pysigrok(file), peer_rounds)
    print(f"{mega} MHz, {beside}, {msa:.2f} MSa, {len(text)} characters, equal from all three; {load()}")
    claim = CLAIMS_MSPS[mega]
    return all(
        [
            row("  ours, samples in memory", f"{rate:.0f} MSa/s", f">= {claim:.0f}", ok=rate >= claim),
            row("  ours, with reading the .sr file", f"{from_file:.0f} MSa/s", "-", ok=True),
            row(
                "  sigrok-cli, with reading the file",
                f"{cli:.2f} MSa/s, 1/{rate / cli:.0f}",
                f"<= 1/{TIMES_SIGROK_CLI:.0f}",
                ok=rate >= TIMES_SIGROK_CLI * cli,
            ),
            row(
                "  pysigrok, with reading the file",
                f"{python:.3f} MSa/s, 1/{rate / python:.0f}",
                f"<= 1/{TIMES_PYSIGROK:.0f}",
                ok=rate >= TIMES_PYSIGROK * python,
            ),
        ]
    )


def live(text: bytes) -> bool:
    """One second and more of samples in the chunks in which a pipe brings them, and how memory grows over ten."""
    capture = capture_of(text[: LIVE_MSPS * 500], LIVE_MSPS * 1_000_000, 7)
    chunks = [capture.samples[at : at + LIVE_CHUNK] for at in range(0, len(capture.samples), LIVE_CHUNK)]
    decoder = UartDecoder(capture.samplerate, BAUD)
    said = b"".join(decoder.feed(chunk).data for chunk in chunks) + decoder.finish().data
    if said != text[: LIVE_MSPS * 500]:
        print("the live decoder gives another text")
        return False

    def once() -> None:
        decoder = UartDecoder(capture.samplerate, BAUD)
        for chunk in chunks:
            decoder.feed(chunk)

    share = median_cpu_s(once, 5) / capture.duration_s
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decoder = UartDecoder(capture.samplerate, BAUD)
    for _ in range(10):
        for chunk in chunks:
            decoder.feed(chunk)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"live, {LIVE_MSPS} MSa/s in chunks of {LIVE_CHUNK >> 10} KiB, 8 busy channels; {load()}")
    return all(
        [
            row("  of a core", f"{share:.1%}", f"<= {LIVE_CORE:.0%}", ok=share <= LIVE_CORE),
            row(
                f"  memory over {10 * capture.duration_s:.0f} s",
                f"+{grown:.1f} MB",
                f"<= {MEMORY_MB:.0f} MB",
                ok=grown <= MEMORY_MB,
            ),
        ]
    )


def main(rounds: int, peer_rounds: int, characters: int) -> int:
    text = console_text(characters)
    with tempfile.TemporaryDirectory(prefix="shepherd-hil-") as folder:
        good = [
            compare(text, mega, neighbours, rounds, peer_rounds, Path(folder))
            for mega in CLAIMS_MSPS
            for neighbours in (0, 7)
        ]
        good.append(live(text))
    return 0 if all(good) else 1


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    sys.exit(main(*(arguments + [21, 3, 20_000][len(arguments) :])))

"""The embedded board's logic probe, decoded by a few lines of the test's own."""

from __future__ import annotations

import json
import socket
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.sim.sim_process import Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator


class Capture:
    """A running capture."""

    def __init__(self, board: Bench, samplerate: int = 1_000_000, channels: tuple[str, ...] = ("D0", "D1")) -> None:
        self.samplerate = samplerate
        self._end = socket.socket(socket.AF_UNIX)
        self._end.settimeout(5)
        self._end.connect(board.sim.probe)
        self._end.sendall(json.dumps({"samplerate": samplerate, "channels": channels}).encode() + b"\n")
        self._file = self._end.makefile("rb")
        self.answer = json.loads(self._file.readline())

    def read(self, seconds: float) -> bytes:
        return self._file.read(int(seconds * self.samplerate))

    def close(self) -> None:
        self._file.close()
        self._end.close()


def decode(samples: bytes, samplerate: int, baudrate: int) -> bytes:
    """8n1 on bit 0; samples in the middle of each bit; stops at a byte that is cut off."""
    bit = samplerate / baudrate
    out = bytearray()
    levels = bytes(sample & 1 for sample in samples)
    at = levels.find(1)
    while (start := levels.find(0, at)) >= 0 and start + 10 * bit < len(levels):
        bits = [levels[int(start + (n + 0.5) * bit)] for n in range(10)]
        assert (bits[0], bits[9]) == (0, 1), f"framing error at sample {start}"
        out.append(sum(value << n for n, value in enumerate(bits[1:9])))
        at = int(start + 9.5 * bit)
    return bytes(out)


@pytest.fixture(scope="module")
def board() -> Iterator[Bench]:
    with bench() as it:
        yield it


@pytest.mark.parametrize("samplerate", [1_000_000, 500_000, 4_000_000, 24_000_000])
def test_the_probe_sees_on_d0_what_the_console_hears(board: Bench, samplerate: int) -> None:
    capture = Capture(board, samplerate, ("D0",))
    assert capture.answer == {"ok": True, "samplerate": samplerate, "unitsize": 1}
    start = board.console.mark
    text = "".join(f"line {number}: the quick brown fox\n" for number in range(40))
    board.control.kernel_lines(text)
    samples = capture.read(0.6)
    board.console.wait_for("line 39: the quick brown fox", after=start)
    capture.close()
    heard = bytes(board.console.data[start:])
    assert len(heard) > 1000
    assert decode(samples, samplerate, 115200) == heard


def test_edges_stand_at_their_exact_places(board: Bench) -> None:
    capture = Capture(board, 1_000_000, ("D0",))
    board.control.uart_send(b"U" * 1000)  # 0x55: every bit an edge
    samples = capture.read(0.5)
    capture.close()
    edges = [i for i in range(1, len(samples)) if samples[i] != samples[i - 1]]
    bit = 1_000_000 / 115200
    assert len(edges) == 10_000
    # All of a byte's edges stand on one grid. Bytes follow each other without a gap, unless this computer is late.
    for first in range(0, 10_000, 10):
        byte = edges[first : first + 10]
        assert max(abs(edge - byte[0] - number * bit) for number, edge in enumerate(byte)) <= 1
    gaps = sum(abs(b - a - bit) > 1 for a, b in pairwise(edges))
    assert gaps < 30


def test_bytes_that_nobody_reads_are_on_the_wire_too() -> None:
    with bench() as board:
        board.console.close()
        capture = Capture(board)
        board.control.uart_send("unread\n")
        samples = capture.read(0.2)
        capture.close()
    assert decode(samples, 1_000_000, 115200) == b"unread\n"


def test_channels_take_the_bits_in_which_they_were_asked_for(board: Bench) -> None:
    capture = Capture(board, 100_000, ("D5", "D1", "D0"))
    samples = capture.read(0.05)
    capture.close()
    assert set(samples) == {0b100}, "idle high on D0, all others low"


def test_the_sync_line_runs_at_10_hz_while_shepherd_is_loaded(board: Bench) -> None:
    board.run("sudo modprobe -a shepherd")
    capture = Capture(board, 100_000, ("D1",))
    samples = capture.read(0.65)
    capture.close()
    edges = [i for i in range(1, len(samples)) if samples[i] != samples[i - 1]]
    assert all(abs(b - a - 5000) <= 1 for a, b in pairwise(edges))
    assert len(edges) >= 12
    board.run("sudo modprobe -rf shepherd")
    capture = Capture(board, 100_000, ("D1",))
    assert set(capture.read(0.2)) == {0}
    capture.close()


def test_the_sync_line_sticks_when_the_kernel_panics() -> None:
    with bench("racy") as board:
        board.run("sudo modprobe -a shepherd")
        capture = Capture(board, 100_000, ("D1",))
        board.control.panic()
        samples = capture.read(0.5)
        capture.close()
    assert len(set(samples[-20_000:])) == 1


def test_everything_is_low_without_power() -> None:
    with bench() as board:
        capture = Capture(board, 100_000)
        board.control.power_off()
        samples = capture.read(0.3)
        assert set(samples[-10_000:]) == {0}
        board.control.power_on()
        assert 1 in capture.read(0.2)
        capture.close()


def test_samples_come_in_real_time(board: Bench) -> None:
    capture = Capture(board, 1_000_000)
    begun = time.monotonic()
    assert len(capture.read(0.5)) == 500_000
    assert 0.45 < time.monotonic() - begun < 1.0
    capture.close()


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        (b"nonsense\n", "not a line of JSON"),
        (b'{"samplerate": 10, "channels": ["D0"]}\n', "samplerate 10: give one from 100000 to 24000000 Hz"),
        (b'{"samplerate": 1000000, "channels": ["D9"]}\n', "give a list of D0, D1"),
        (b'{"samplerate": 1000000, "channels": []}\n', "give a list of D0, D1"),
        (b'{"samplerate": 1000000, "channels": ["D0", "D0"]}\n', "twice"),
        (b'{"samplerate": 1000000, "channels": [["D0"]]}\n', "give a list of D0, D1"),
        (b"[]\n", "not a JSON object"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(board: Bench, request_line: bytes, error: str) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(5)
        end.connect(board.sim.probe)
        end.sendall(request_line)
        answer = json.loads(end.makefile("rb").readline())
    assert answer["ok"] is False
    assert error in answer["error"]


def test_many_captures_one_after_the_other_leave_the_board_idle(board: Bench) -> None:
    for _ in range(10):
        capture = Capture(board)
        capture.read(0.01)
        capture.close()
    assert board.run("echo alive").stdout == "alive\n"

"""The analyzer over the embedded board's kind of probe: a real Unix socket with samples in real time."""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import HilError, LogicError, MisuseError
from pytest_shepherd_hil.logic import Capture, LogicAnalyzer, stream
from pytest_shepherd_hil.logic.acquisition import DeviceLostError
from pytest_shepherd_hil.logic.probe import ProbeSocket
from pytest_shepherd_hil.logic.ring import SampleRing
from tests.unit.logic.probe import CONFIG, LINE, Probe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_capture_has_the_samples_of_the_time_asked_for(logic: LogicAnalyzer, probe: Probe) -> None:
    capture = logic.capture(seconds=0.05)
    assert probe.asked == [{"samplerate": 1_000_000, "channels": ["D0", "D1"]}]
    assert (capture.samplerate, capture.channels, len(capture)) == (1_000_000, ("D0", "D1"), 50_000)
    assert capture.names == {"D0": "uart_tx", "D1": "sync"}
    assert capture.uart("uart_tx").text.startswith("kernel\nkernel\n")
    assert probe.open == []
    assert logic.snapshot() is not None


def test_a_capture_is_followed_by_another(logic: LogicAnalyzer, probe: Probe) -> None:
    assert [len(logic.capture(0.01)) for _ in range(3)] == [10_000] * 3
    assert len(probe.asked) == 3


def test_samples_that_do_not_come_are_told(logic: LogicAnalyzer, probe: Probe) -> None:
    probe.limit = 30_000
    with pytest.raises(LogicError, match=r"board sim01: asked for 100000 samples \(0\.1 s\), got 30000"):
        logic.capture(0.1)
    assert probe.open == []


def test_a_probe_that_hangs_up_is_told(logic: LogicAnalyzer, probe: Probe) -> None:
    threading.Timer(0.1, probe.hang_up.set).start()
    with pytest.raises(LogicError, match=r"board sim01: probe .* is gone.* asked for 5000000 samples"):
        logic.capture(5)
    snapshot = logic.snapshot()
    assert snapshot is not None
    assert len(snapshot) >= 50_000


def test_a_recording_holds_what_happens_in_its_block(logic: LogicAnalyzer, probe: Probe) -> None:
    with logic.recording() as recording:
        began = time.monotonic()
        early = recording.capture
        threading.Event().wait(0.1)
        inside = logic.capture(0.02)
        took = time.monotonic() - began
    assert 0 < len(early) < len(recording.capture)
    assert len(inside) == 20_000
    assert recording.capture.duration_s >= took
    assert recording.capture.uart("uart_tx").text.startswith("kernel\nkernel")
    assert recording.capture == recording.capture
    assert probe.open == []


def test_a_recording_ends_with_the_exception_of_its_block(logic: LogicAnalyzer, probe: Probe) -> None:
    with pytest.raises(ZeroDivisionError), logic.recording() as recording:
        raise ZeroDivisionError
    assert len(recording.capture) > 0
    assert probe.open == []


def test_an_analyzer_lost_during_a_recording_is_told_and_what_came_is_kept(logic: LogicAnalyzer, probe: Probe) -> None:
    threading.Timer(0.1, probe.hang_up.set).start()
    with pytest.raises(LogicError, match="is gone"), logic.recording() as recording:
        assert probe.served.acquire(timeout=5)
    assert len(recording.capture) > 0


def test_a_snapshot_leaves_out_what_nobody_looks_at(logic: LogicAnalyzer) -> None:
    with logic.recording():
        time.sleep(0.4)
        whole, end = logic.snapshot(), logic.snapshot(since_ns=time.monotonic_ns() - 100_000_000)
    assert whole is not None
    assert end is not None
    assert whole.first_sample == 0
    assert 0 < len(end) < len(whole)
    assert 150_000 < end.first_sample < 400_000


def test_a_recording_in_a_recording_is_misuse(logic: LogicAnalyzer) -> None:
    with logic.recording(), pytest.raises(MisuseError, match="inside another"), logic.recording():
        pass
    with logic.recording():
        pass


def test_an_analyzer_that_brings_no_more_samples_is_lost(
    logic: LogicAnalyzer, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_STALLED_S", 0.1)
    monkeypatch.setattr(stream, "_BLOCK_BYTES", 100_000)
    probe.limit = 50_000
    lost = pytest.raises(DeviceLostError, match=r"board sim01: .* has brought no sample for 0\.2 s, .* unplug it")
    with lost, logic.following() as follower:
        for _ in range(100):
            follower.take(1.0, 0.1)
    probe.limit = None
    assert len(logic.capture(0.01)) == 10_000


def test_a_recording_keeps_only_the_latest_and_says_so(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    probe.block = 777
    said: list[str] = []
    logic = LogicAnalyzer(CONFIG, "sim01", probe.connect, max_bytes=20_000)
    monkeypatch.setattr(logic, "_say", said.append)
    with logic.recording() as recording:
        assert len(logic.capture(0.015)) == 15_000
        threading.Event().wait(0.1)
    capture = recording.capture
    assert capture.first_sample > 50_000
    (note,) = capture.notes
    assert "have left the memory" in note
    assert said[0].startswith("sim01: the recording's first ")
    assert 15_000 <= len(capture) <= 22_500
    # what is left is the same line, from where it says that it begins
    start = capture.first_sample % len(LINE)
    assert capture.bits("D0")[: len(LINE)] == (LINE + LINE)[start : start + len(LINE)]
    with pytest.raises(MisuseError, match=r"capture\(seconds=1\) at 1000000 Hz is more than"):
        logic.capture(1)


def test_an_exception_of_a_signal_ends_a_capture_at_once_and_leaves_its_samples(
    logic: LogicAnalyzer, probe: Probe
) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: object) -> None:
        assert logic.snapshot() is not None  # must not lock itself out
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGUSR1)).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            logic.capture(30)
        assert time.monotonic() - began < 2
    finally:
        signal.signal(signal.SIGUSR1, before)
    snapshot = logic.snapshot()
    assert snapshot is not None
    assert len(snapshot) >= 100_000
    assert snapshot.uart("uart_tx").text.startswith("kernel\n")
    assert probe.open == []


def test_wherever_a_signal_strikes_no_acquisition_is_left_running(logic: LogicAnalyzer, probe: Probe) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(100):
            with suppress(Interrupted):
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + 0.00003 * number)
                logic.capture(10)
            assert probe.open == [], number
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(logic.capture(0.01)) == 10_000


def test_a_snapshot_from_another_thread_while_a_capture_runs(logic: LogicAnalyzer) -> None:
    found: list[Capture | None] = []

    def look() -> None:
        found.extend(logic.snapshot() for _ in range(20))

    timer = threading.Timer(0.1, look)
    timer.start()
    logic.capture(0.3)
    timer.join()
    lengths = [len(capture) for capture in found if capture is not None]
    assert len(lengths) == 20
    assert lengths == sorted(lengths)
    assert lengths[0] > 0


def test_forget_lets_the_last_capture_go(logic: LogicAnalyzer) -> None:
    assert logic.snapshot() is None
    logic.capture(0.01)
    logic.forget()
    assert logic.snapshot() is None


def test_close_ends_what_runs(logic: LogicAnalyzer, probe: Probe) -> None:
    threading.Timer(0.1, logic.close).start()
    with pytest.raises(LogicError, match="asked for 30000000 samples"):
        logic.capture(30)
    assert probe.open == []
    with pytest.raises(LogicError, match="board sim01: the logic analyzer has been closed"):
        logic.capture(1)


def test_a_time_that_is_none_is_misuse(logic: LogicAnalyzer) -> None:
    for seconds in (0, -1, float("nan")):
        with pytest.raises(MisuseError, match="give seconds"):
            logic.capture(seconds)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"ok": False, "error": "no such rate"}, "refuses 1000000 Hz on D0, D1: no such rate"),
        ({"ok": True, "samplerate": 1, "unitsize": 9}, "expected samples of 1 bytes"),
        (b"hello\n", "an answer that is none: b'hello'"),
        (b"[]\n", "an answer that is none"),
        (b"x" * 100_000, "does not end"),
    ],
    ids=["refused", "other unit", "no JSON", "no object", "endless"],
)
def test_what_a_probe_answers_wrongly(
    logic: LogicAnalyzer, probe: Probe, answer: dict[str, object] | bytes, why: str
) -> None:
    probe.answer = answer
    with pytest.raises(LogicError, match=why):
        logic.capture(0.01)


def test_a_probe_that_is_not_there_and_one_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LogicError, match=r"board b: probe .*none cannot be opened: No such file"):
        ProbeSocket(tmp_path / "none", CONFIG, "b")
    monkeypatch.setattr(ProbeSocket, "ANSWER_S", 0.2)
    with listening(tmp_path / "silent"), pytest.raises(LogicError, match=r"did not answer within 0\.2 s"):
        ProbeSocket(tmp_path / "silent", CONFIG, "b")


@contextmanager
def listening(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield


def test_a_driver_that_breaks_is_one_clear_error() -> None:
    def broken() -> ProbeSocket:
        raise ZeroDivisionError("oh")

    with pytest.raises(HilError, match="ZeroDivisionError: oh"):
        LogicAnalyzer(CONFIG, "b", broken).capture(1)


@pytest.mark.parametrize("unitsize", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 5, 1000, 70_001])
def test_the_ring_holds_the_latest_whatever_the_pieces(unitsize: int, size: int) -> None:
    data = bytes(number % 251 for number in range(300_000))
    ring = SampleRing(unitsize, 10_000)
    for at in range(0, len(data), size):
        ring.append(data[at : at + size])
        assert (ring.total - ring.first) * unitsize <= 10_000
    first, blocks = ring.since(0)
    held = b"".join(blocks)
    assert first == ring.first
    assert held == data[first * unitsize :]
    assert len(held) > 8000 - unitsize
    later, blocks = ring.since(ring.total - 3)
    assert (later, b"".join(blocks)) == (ring.total - 3, data[-3 * unitsize :])

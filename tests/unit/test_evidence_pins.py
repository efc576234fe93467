"""What is kept and said of a capture beside an incident."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.evidence import pins as pins_module
from pytest_shepherd_hil.evidence.bundle import EvidenceRun
from pytest_shepherd_hil.evidence.pins import Pins, look
from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.logic import Capture
from tests.requirements import require
from tests.sigrok import read_by_sigrok_cli
from tests.unit.kernel.kernel_console import OOPS_6_1, last_words
from tests.unit.logic.uart_line import uart_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_shepherd_hil.kernel.incident import Incident

RATE = 1_000_000
SECOND = 1_000_000_000
TEST = "tests/hil/test_sync.py::test_sync_line"


class Bench:
    """A board that measures, then crashes: its console as it was read, its pins as they were sampled.

    Args:
        crash_s: when the first line of the Oops begins.
        seconds: how long the analyzer samples.
        on_wire: whether the console's own line is among the channels.
        stops_s: when the sync line stops.
        host_ns: host time of the first sample.
    """

    def __init__(
        self,
        *,
        crash_s: float = 3.0,
        seconds: float = 5.0,
        on_wire: bool = True,
        stops_s: float = 2.65,
        host_ns: int | None = 7 * SECOND,
        late_ns: int = 3_000_000,
    ) -> None:
        self.log = ConsoleLog()
        detector = Detector()
        found: list[Incident] = []
        total = round(seconds * RATE)
        tx = np.ones(total, np.uint8)
        healthy = [f"[   {50 + at / 2:.6f}] shprd.k: buffer {at}" for at in range(int(2 * crash_s))]
        report = OOPS_6_1.splitlines()
        report[2:2] = ["[   61.100001] hil: fence 0123abcd-7"]
        begins = [at / 2 + 0.1 for at in range(len(healthy))]
        end_s = crash_s
        for number, text in enumerate([*healthy, *report]):
            begin_s = begins[number] if number < len(healthy) else max(end_s, crash_s)
            line = np.frombuffer(uart_line(f"{text}\r\n".encode(), RATE / 115200, idle_bits=0, tail_bits=0), np.uint8)
            at = round(begin_s * RATE)
            tx[at : at + len(line)] = line[: max(total - at, 0)]
            end_s = begin_s + len(line) / RATE
            read_ns = (host_ns or 0) + round(end_s * SECOND) + late_ns
            for each in self.log.append(f"{text}\r\n".encode(), read_ns):
                found += detector.feed(each.line)
        self.incidents = last_words(found + detector.flush())
        self.first_line = self.incidents[0].first_line
        self.first_sample = round(crash_s * RATE)
        assert self.first_line == len(healthy)
        times = np.arange(total) / RATE
        sync = ((times * 10 + 0.25) % 1 < 0.5).astype(np.uint8)
        sync[round(stops_s * RATE) :] = sync[round(stops_s * RATE) - 1] if stops_s < seconds else 0
        self.capture = Capture(
            RATE,
            ("D0", "D1"),
            (sync << 1 | (tx if on_wire else 1)).tobytes(),
            {"D0": "uart_tx", "D1": "sync"},
            host_ns=host_ns,
        )

    def look(self, incidents: Sequence[Incident] | None = None) -> Pins:
        found = self.incidents if incidents is None else incidents
        return look(self.capture, self.log.lines(), found, title="kernel oops", test=TEST)


def test_the_words_say_where_the_capture_is_how_it_is_tied_and_what_the_sync_line_did() -> None:
    bench = Bench()
    pins = bench.look()
    first, sync = pins.words
    assert first.startswith("capture.sr, ")
    assert first.endswith(
        " at 1 MHz; samples and console are tied by the decoded text of uart_tx (D0), to within 8.7 µs"
    )
    edges = bench.capture.edges("sync")
    before = (bench.first_sample - int(edges[-1])) / RATE
    assert sync == f"sync (D1): 10.0 Hz until {before:.2f} s before the incident, then still (low)"
    assert pins.covers


def test_two_and_a_half_seconds_before_the_first_line_are_kept_and_a_little_after_the_last() -> None:
    bench = Bench(seconds=9.0, crash_s=5.0)
    part = bench.look().capture
    begin_s = (bench.first_sample - part.first_sample) / RATE
    last = bench.log.lines()[bench.incidents[0].last_line]
    end_s = (part.first_sample + len(part)) / RATE - (last.time_ns - 7 * SECOND) / SECOND
    assert begin_s == pytest.approx(2.5, abs=0.2)
    assert end_s == pytest.approx(0.75, abs=0.2)
    assert part.samples == bench.capture.samples[part.first_sample :][: len(part)]


def test_the_picture_shows_the_incident_and_a_fence() -> None:
    svg = Bench().look().picture
    assert svg.count(">incident: first line<") == 2
    assert ">fence<" in svg
    assert "tied by the decoded text of uart_tx (D0), to within 8.7 µs" in svg
    assert "Internal error: : 1b [#1] SMP ARM" in svg


def test_a_capture_without_the_consoles_line_is_tied_by_host_time() -> None:
    pins = Bench(on_wire=False).look()
    assert pins.words[0].endswith("samples and console are tied by host time, to within about 0.1 s")
    assert pins.covers
    assert 'class="unsure"' in pins.picture
    assert "sync (D1): 10.0 Hz until 0.3" in pins.words[2]
    assert pins.words[1] == "uart_tx (D0): still (high) all the time"


def test_a_capture_that_ended_before_the_incident_says_so() -> None:
    bench = Bench(seconds=2.0, crash_s=4.0, stops_s=9)
    pins = bench.look()
    assert not pins.covers
    assert ", ends 2 s before the incident; " in pins.words[0]
    assert "10.0 Hz all the time" in pins.words[1]
    assert "incident: first line" not in pins.picture


def test_a_capture_that_began_after_the_incident_says_so() -> None:
    bench = Bench()
    late = bench.capture.between(4.5, 5.0)
    pins = look(late, bench.log.lines(), bench.incidents, title="x", test=TEST)
    assert not pins.covers
    assert ", begins 1.5 s after the incident; " in pins.words[0]


def test_a_capture_of_unknown_time_that_nothing_ties() -> None:
    bench = Bench(on_wire=False, host_ns=None)
    pins = bench.look()
    assert "nothing ties this capture's samples to the console's lines" in pins.words[0]
    assert "10.0 Hz until 2.4" in pins.words[2]
    assert "before the end" in pins.words[2]


def test_without_an_incident_the_end_is_kept() -> None:
    pins = Bench().look(incidents=[])
    assert len(pins.capture) == 5 * RATE
    assert "before the end, then still" in pins.words[1]


def test_a_long_capture_is_cut_to_a_bounded_part_around_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins_module, "MOST_BYTES", 1_000_000)
    bench = Bench(seconds=8.0)
    pins = bench.look()
    assert pins.covers
    assert len(pins.capture.samples) == 1_000_000
    assert (bench.first_sample - pins.capture.first_sample) / 1_000_000 == pytest.approx(0.7, abs=0.05)


def test_incidents_whose_lines_are_no_longer_known() -> None:
    bench = Bench()
    pins = look(bench.capture, bench.log.lines(bench.first_line + 5), bench.incidents, title="x", test=TEST)
    assert not pins.covers
    assert pins.words
    assert look(bench.capture, [], bench.incidents, title="x", test=TEST).words[0].endswith("to within about 0.1 s")


def test_a_busy_capture_of_many_channels() -> None:
    samples = np.random.default_rng(0).integers(0, 1 << 16, 1_000_000, np.uint16).tobytes()
    capture = Capture(24_000_000, tuple(f"D{number}" for number in range(16)), samples, host_ns=7 * SECOND)
    bench = Bench(crash_s=0.001)
    pins = look(capture, bench.log.lines(), bench.incidents, title="x", test=TEST)
    assert pins.words[-1] == "… 9 more channels: capture.svg"
    assert len(pins.picture) < 200_000


# in the folder


def write(run: EvidenceRun, bench: Bench, capture: Capture | None = None) -> Path:
    folder = run.for_test(TEST)
    folder.write(
        test=TEST,
        log=bench.log,
        lines=bench.log.lines(),
        incidents=bench.incidents,
        calls=(),
        capture=bench.capture if capture is None else capture,
    )
    return folder.folder


def test_the_folder_has_the_capture_its_picture_and_the_words(tmp_path: Path) -> None:
    run, bench = EvidenceRun(tmp_path, "b"), Bench()
    folder = write(run, bench)
    said = (folder / "incident.txt").read_text().splitlines()
    words = bench.look().words
    assert said[:4] == [f"test   {TEST}", "board  b", f"  capture   {words[0]}", f"            {words[1]}"]
    assert json.loads((folder / "incident.json").read_text())["capture"] == list(words)
    kept = Capture.load(folder / "capture.sr")
    assert kept.at_console_line("Internal error").start_sample > 0
    assert (folder / "capture.svg").read_text().startswith("<svg ")
    assert run.for_test(TEST).pins == words
    assert run.problems == []


def test_what_was_said_before_the_test_is_in_the_picture_too(tmp_path: Path) -> None:
    bench = Bench()
    folder = EvidenceRun(tmp_path, "b").for_test(TEST)
    lines = bench.log.lines(bench.first_line)
    began_ns = lines[0].time_ns - 50_000_000
    folder.write(
        test=TEST,
        log=bench.log,
        lines=lines,
        incidents=bench.incidents,
        calls=(),
        capture=bench.capture,
        began_ns=began_ns,
    )
    svg = (folder.folder / "capture.svg").read_text()
    assert ">test began<" in svg
    assert 'class="bar"' in svg
    assert "shprd.k" not in (folder.folder / "console.txt").read_text()


@require("sigrok-cli")
def test_sigrok_cli_reads_every_sample_of_the_capture_that_is_kept(tmp_path: Path) -> None:
    bench = Bench()
    folder = write(EvidenceRun(tmp_path, "b"), bench)
    raw = read_by_sigrok_cli(folder / "capture.sr")
    assert raw == bench.look().capture.samples


def test_a_capture_that_has_the_incident_is_not_replaced_by_one_that_has_it_no_more(tmp_path: Path) -> None:
    run, bench = EvidenceRun(tmp_path, "b"), Bench()
    folder = write(run, bench)
    before = (folder / "capture.sr").read_bytes()
    write(run, bench, bench.capture.between(4.5, 5.0))
    assert (folder / "capture.sr").read_bytes() == before
    assert "10.0 Hz until" in (folder / "incident.txt").read_text()


def test_one_that_has_it_replaces_one_that_has_not(tmp_path: Path) -> None:
    run, bench = EvidenceRun(tmp_path, "b"), Bench()
    folder = write(run, bench, bench.capture.between(0.0, 1.0))
    assert ", ends 2 s before the incident" in (folder / "incident.txt").read_text()
    write(run, bench)
    assert "10.0 Hz until" in (folder / "incident.txt").read_text()


def test_a_capture_that_cannot_be_looked_at_costs_nothing_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("something nobody\nthought of")

    monkeypatch.setattr(pins_module, "look", broken)
    run = EvidenceRun(tmp_path, "b")
    folder = write(run, Bench())
    assert not (folder / "capture.svg").exists()
    words = "capture.sr cannot be shown: ZeroDivisionError: something nobody"
    assert f"  capture   {words}" in (folder / "incident.txt").read_text()
    assert run.problems == [f"could not write {folder / 'capture.svg'}: {words}"]


def test_a_folder_that_cannot_be_written_to_does_not_keep_the_words(tmp_path: Path) -> None:
    run, bench = EvidenceRun(tmp_path, "b"), Bench()
    (run.for_test(TEST).folder / "capture.sr" / "in the way").mkdir(parents=True)
    folder = write(run, bench)
    assert [problem for problem in run.problems if "capture.sr" in problem]
    assert "capture.sr, " not in (folder / "incident.txt").read_text()

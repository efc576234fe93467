"""What a test asks of a capture's channels: pulses, frequency, duty, times, and where the console said a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.errors import LogicError, MisuseError
from pytest_shepherd_hil.logic import Capture
from tests.unit.logic.uart_line import uart_line

if TYPE_CHECKING:
    from pathlib import Path

RATE = 1_000_000


def one(line: bytes, samplerate: int = RATE) -> Capture:
    return Capture(samplerate, ("D1",), line)


def square(hertz: float, duty: float, seconds: float, phase: float = 0.3) -> bytes:
    turns = np.arange(round(seconds * RATE)) * hertz / RATE + phase
    return (turns % 1 < duty).astype(np.uint8).tobytes()


def test_the_sync_line_toggles_at_ten_hertz() -> None:
    cap = one(square(10, 0.5, 1.05))
    assert cap.frequency("D1") == pytest.approx(10, rel=1e-3)
    assert cap.duty("D1") == pytest.approx(0.5, rel=1e-3)


@settings(deadline=None)
@given(hertz=st.floats(50, 5000), duty=st.floats(0.05, 0.95), phase=st.floats(0, 1, exclude_max=True))
def test_frequency_and_duty_of_any_pulse_width_modulation(hertz: float, duty: float, phase: float) -> None:
    cap = one(square(hertz, duty, 0.1, phase))
    assert cap.frequency("D1") == pytest.approx(hertz, rel=0.01)
    assert cap.duty("D1") == pytest.approx(duty, abs=0.01)
    pulses = cap.pulses("D1")
    assert pulses["duration_s"].sum() == pytest.approx(np.ptp(cap.edges("D1")) / RATE)
    for level, share in ((1, duty), (0, 1 - duty)):
        assert cap.pulses("D1", level=level)["duration_s"].mean() == pytest.approx(share / hertz, abs=2e-6)


@pytest.mark.parametrize(
    ("line", "frequency", "duty", "pulses"),
    [
        (b"", 0.0, 0.0, 0),
        (bytes(100), 0.0, 0.0, 0),
        (b"\x01" * 100, 0.0, 1.0, 0),
        (bytes(75) + b"\x01" * 25, 0.0, 0.25, 0),
        (bytes(20) + b"\x01" * 10 + bytes(70), 0.0, 0.1, 1),
    ],
)
def test_lines_that_do_not_repeat(line: bytes, frequency: float, duty: float, pulses: int) -> None:
    cap = one(line)
    assert cap.frequency("D1") == frequency
    assert cap.duty("D1") == duty
    assert len(cap.pulses("D1")) == pulses
    assert cap.edges("D1").dtype == np.int64


def test_a_pulse_has_its_start_its_length_and_its_level() -> None:
    cap = one(b"\x01" * 7 + bytes(20) + b"\x01" * 5 + bytes(9), 1000)
    assert cap.pulses("D1").tolist() == [(7, 0.020, 0), (27, 0.005, 1)]
    assert cap.pulses("D1", level=1).tolist() == [(27, 0.005, 1)]


def test_between_two_times() -> None:
    cap = Capture(1000, ("D0", "D1"), bytes(range(4)) * 1000, {"D0": "uart_tx"}, 50)
    part = cap.between(0.5, 1.25)
    assert part.samples == cap.samples[500:1250]
    assert (part.first_sample, part.names, part.duration_s) == (550, {"D0": "uart_tx"}, 0.75)
    assert len(cap.between(-1, 100)) == len(cap)
    assert len(cap.between(2, 2)) == 0
    for wrong in ((1, 0.5), (float("nan"), 1), (0, float("inf"))):
        with pytest.raises(MisuseError, match=r"capture\.between\("):
            cap.between(*wrong)


def test_times_of_characters() -> None:
    cap = one(uart_line(b"AB", 10, idle_bits=20, gap_bits=5))
    uart = cap.uart("D1", 100_000)
    assert uart.times_s.tolist() == [200e-6, 350e-6]
    assert uart.frames[1].value == 0x42
    assert [frame.start_sample for frame in uart.frames[:2]] == [200, 350]
    assert uart.errors == ()


@dataclass(frozen=True)
class Said:
    raw: bytes


CONSOLE = b"[    1.0] shepherd: started\r\n[    2.0] shepherd: stopped\r\n[    3.0] shepherd: started\r\nshepherd"


def console_and_clock() -> Capture:
    line = uart_line(CONSOLE, RATE / 115200, phase=0.4)
    clock = bytes(number // 50 % 2 for number in range(len(line)))
    samples = bytes(tx << 1 | other for tx, other in zip(line, clock, strict=True))
    return Capture(RATE, ("D0", "D1"), samples, {"D1": "uart_tx"})


@pytest.mark.parametrize(
    "line", ["[    2.0] shepherd: stopped", b"[    2.0] shepherd: stopped\r\n", "shepherd: stopped"]
)
def test_a_console_line_is_found_to_within_a_bit(line: str | bytes) -> None:
    bit = RATE / 115200
    wanted = line.encode() if isinstance(line, str) else line.rstrip()
    first = CONSOLE.index(wanted)
    for said in (line, Said(line.encode() if isinstance(line, str) else line)):
        found = console_and_clock().at_console_line(said)
        assert found.channel == "D1"
        assert found.start_sample == pytest.approx((12 + 10 * first) * bit, abs=bit)
        assert found.end_sample == pytest.approx((12 + 10 * (first + len(wanted))) * bit, abs=bit)
        assert found.start_s == found.start_sample / RATE
    part = console_and_clock().between(found.start_s - 2e-5, found.end_s + 2e-5)
    assert part.uart("D1").text == wanted.decode()


def test_which_of_several_lines_and_whole_lines_before_parts() -> None:
    cap = console_and_clock()
    first = cap.at_console_line("shepherd: started", channel="uart_tx")
    last = cap.at_console_line("shepherd: started", occurrence=-1)
    assert last == cap.at_console_line("shepherd: started", occurrence=1)
    assert last.start_s > first.start_s
    # the last line is nothing but that word
    assert cap.at_console_line("shepherd").start_s > cap.at_console_line("[    3.0] shepherd: started").start_s


def test_a_line_that_the_console_did_not_say() -> None:
    cap = console_and_clock()
    with pytest.raises(LogicError, match="'Oops' is not on any channel of D0, D1 at 115200 baud"):
        cap.at_console_line("Oops")
    with pytest.raises(LogicError, match="is not on channel D1 at 115200 baud that often, only 2 times"):
        cap.at_console_line("shepherd: started", channel="D1", occurrence=2)
    with pytest.raises(MisuseError, match="an empty line"):
        cap.at_console_line("\r\n")


def test_what_a_loaded_file_passed_over_is_noted(tmp_path: Path) -> None:
    one(b"\x01\x00").save(tmp_path / "x.sr")
    assert Capture.load(tmp_path / "x.sr").notes == ()

"""One time line: which samples are which lines of the console."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic import Capture
from pytest_shepherd_hil.logic.alignment import align
from pytest_shepherd_hil.logic.sample_clock import SampleClock
from tests.requirements import SHARED, require
from tests.unit.logic.uart_line import uart_line

RATE = 1_000_000
BIT = RATE / 115200
IDLE = 12
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Heard:
    raw: bytes
    offset: int
    time_ns: int


def heard(lines: list[bytes], *, late_ns: int = 2_000_000, began_ns: int = 0) -> list[Heard]:
    """Lines as the console's reader has them, each a little after its end has come out of the UART."""
    ends = list(accumulate(len(line) + 2 for line in lines))
    return [
        Heard(line, end - len(line) - 2, began_ns + round((IDLE + 10 * end) * BIT / RATE * SECOND) + late_ns)
        for line, end in zip(lines, ends, strict=True)
    ]


def console(lines: list[bytes], *, clock_khz: float = 1.0, host_ns: int | None = None) -> Capture:
    """What an analyzer sees of these lines: on D1, between a clock and a line that stands still."""
    line = np.frombuffer(uart_line(b"".join(text + b"\r\n" for text in lines), BIT), np.uint8)
    clock = (np.arange(len(line)) * clock_khz * 1000 / RATE % 1 < 0.5).astype(np.uint8)
    return Capture(RATE, ("D0", "D1", "D2"), (line << 1 | clock).tobytes(), host_ns=host_ns)


def start_of(lines: list[bytes], which: int) -> float:
    """The sample with which a line begins, by counting bits."""
    return (IDLE + 10 * sum(len(line) + 2 for line in lines[:which])) * BIT


STAMPED = [b"[%12.6f] shepherd: message %d" % (100 + number / 250, number % 7) for number in range(60)]


def test_every_line_has_its_sample_to_within_a_bit() -> None:
    lines = heard(STAMPED)
    time_line = console(STAMPED).time_line(lines)
    assert (time_line.tied, time_line.channel) == ("decoded text", "D1")
    assert time_line.within_s == pytest.approx(1 / 115200)
    assert str(time_line) == "by the decoded text of D1, to within 8.7 µs"
    for number, line in enumerate(lines):
        at = time_line.at(line)
        assert at is not None
        assert at.start_sample == pytest.approx(start_of(STAMPED, number), abs=BIT)
        assert at.end_sample == pytest.approx(start_of(STAMPED, number) + 10 * len(line.raw) * BIT, abs=BIT)
        assert (at.tied, at.start_s) == ("decoded text", at.start_sample / RATE)


@settings(deadline=None, max_examples=40)
@given(begin=st.floats(0, 0.9), length=st.floats(0.03, 1))
def test_a_capture_may_begin_and_end_within_a_line(begin: float, length: float) -> None:
    whole = console(STAMPED)
    part = whole.between(begin * whole.duration_s, (begin + length) * whole.duration_s)
    lines = heard(STAMPED)
    time_line = part.time_line(lines)
    assert time_line.tied == "decoded text"
    for number, line in enumerate(lines):
        true = start_of(STAMPED, number) - part.first_sample
        end = true + 10 * len(line.raw) * BIT
        at = time_line.at(line)
        if true > 200 and end < len(part) - 20:
            assert at is not None
            assert at.tied == "decoded text"
            assert at.start_sample == pytest.approx(true, abs=BIT)
        elif at is not None:  # of one that is cut, what is there
            assert -BIT <= at.start_sample <= len(part)
            assert at.end_sample > true


WORDS = st.sampled_from([b"", b"ok", b"loading", b"unloading", b"[    1.0] shepherd: started", b"# \xff\xfe"])


@settings(deadline=None)
@given(words=st.lists(WORDS, min_size=1, max_size=40), begin=st.integers(0, 39), end=st.integers(1, 40))
def test_what_is_said_of_equal_lines_is_true_or_nothing(words: list[bytes], begin: int, end: int) -> None:
    """Repeated lines may be anywhere. A claim is right, or there is another place where the same was said."""
    part = words[begin:end]
    found = align(part, words)
    claimed = [(place, number) for number, place in enumerate(found.tolist()) if place >= 0]
    assert claimed == sorted(claimed)
    assert len({place for place, _ in claimed}) == len(claimed)
    shifts = {number - place for place, number in claimed}
    for shift in shifts:
        assert words[shift + 1 : shift + len(part) - 1] == part[1:-1]


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_damaged_lines_keep_their_places(seed: int) -> None:
    rng = random.Random(seed)
    begin = rng.randrange(20)

    def noise() -> int:
        return 1 << rng.randrange(7) if rng.random() < 0.01 else 0

    damaged = [bytes(byte ^ noise() for byte in line) for line in STAMPED[begin:]]
    damaged[0] = damaged[0][rng.randrange(20) :]
    damaged[-1] = damaged[-1][: rng.randrange(5, 20)]
    found = align(damaged, STAMPED).tolist()
    assert found[:begin] == [-1] * begin
    wrong = sum(place not in (number - begin, -1) for number, place in enumerate(found))
    right = sum(place == number - begin for number, place in enumerate(found))
    assert wrong == 0
    assert right >= len(damaged) - 3


@require("shared")
@pytest.mark.parametrize("begin", [0.0, 0.13, 0.5, 0.77])
def test_recorded_sentences_have_their_places_in_any_part_of_their_recording(begin: float) -> None:
    whole = Capture.load(SHARED / "captures" / "mtk3339_8n1_9600.sr")
    uart = whole.uart("TX", 9600)
    said = uart.data.split(b"\r\n")[:-1]
    assert len(set(said)) < len(said)  # some are said again a second later
    firsts = [0, *accumulate(len(line) + 2 for line in said)]
    places = [int(uart.frames.start_samples[first]) for first in firsts[: len(said)]]
    part = whole.between(begin * whole.duration_s, (begin + 0.2) * whole.duration_s)
    time_line = part.time_line(heard(said), baudrate=9600)
    assert (time_line.tied, time_line.channel) == ("decoded text", "TX")
    found = [
        (place, at.start_sample + part.first_sample)
        for place, line in zip(places, heard(said), strict=True)
        if (at := time_line.at(line)) is not None
    ]
    assert len(found) >= 2
    for place, seen in found[1:]:  # the first may have begun before
        assert seen == pytest.approx(place, abs=21)


def test_a_line_after_those_that_were_heard_is_not_in_the_capture() -> None:
    """The host's time is not exact: by it, the line after the last could lie in the capture."""
    whole, lines = console(STAMPED, host_ns=50_000_000), heard(STAMPED)
    part = whole.between(start_of(STAMPED, 10) / RATE, start_of(STAMPED, 20) / RATE)
    time_line = part.time_line(lines)
    assert [number for number, line in enumerate(lines) if time_line.at(line) is not None] == list(range(10, 20))
    assert time_line.about(lines[20])[0] == len(part)
    assert time_line.about(lines[9])[1] <= 0


def test_lines_that_one_side_lost() -> None:
    both = [*STAMPED[:10], *STAMPED[13:]]
    assert align(both, STAMPED).tolist() == [*range(10), -1, -1, -1, *range(10, 57)]
    assert align(STAMPED, both).tolist() == [*range(10), *range(13, 60)]


def test_a_few_characters_of_one_line_are_enough() -> None:
    whole, lines = console(STAMPED), heard(STAMPED)
    begin = start_of(STAMPED, 30) + 10 * 4 * BIT
    time_line = whole.between(begin / RATE, (begin + 14 * 10 * BIT) / RATE).time_line(lines)
    at = time_line.at(lines[30])
    assert at is not None
    assert at.tied == "decoded text"
    assert at.start_sample == pytest.approx(0, abs=2 * BIT)
    assert time_line.at(lines[29]) is None
    assert time_line.at(lines[32]) is None


def test_equal_lines_are_told_apart_by_the_hosts_time() -> None:
    """A second lies between them, and the host's time is good to a tenth."""
    pieces = [uart_line(b"tick\r\n", 100_000 / 9600, tail_bits=9500) for _ in range(8)]
    second = len(pieces[0]) / 100_000
    lines = [Heard(b"tick", 6 * number, round((number + 1) * second * SECOND)) for number in range(20)]
    capture = Capture(100_000, ("D0",), b"".join(pieces), host_ns=round(10 * second * SECOND) + 990_000_000)
    time_line = capture.time_line(lines, baudrate=9600)
    assert time_line.tied == "decoded text"
    at = time_line.at(lines[12])
    assert at is not None
    assert at.start_sample == pytest.approx(2 * len(pieces[0]) + 12 * 100_000 / 9600, abs=11)
    single = capture.at_console_line(lines[12], baudrate=9600)
    assert single.start_sample == at.start_sample
    # without it, nothing tells which is which
    with pytest.raises(LogicError, match="nothing ties this capture's samples to the console's lines"):
        Capture(100_000, ("D0",), b"".join(pieces)).time_line(lines, baudrate=9600)


def test_where_the_console_is_on_no_channel_the_hosts_time_ties_them() -> None:
    lines = heard(STAMPED, began_ns=5 * SECOND)
    capture = Capture(RATE, ("D0",), bytes(200_000), {"D0": "sync"}, host_ns=5 * SECOND)
    time_line = capture.time_line(lines)
    assert (time_line.tied, time_line.channel, time_line.within_s) == ("host time", None, 0.1)
    assert str(time_line) == "by host time, to within about 0.1 s"
    at = time_line.at(lines[20])
    assert at is not None
    assert at.start_sample == pytest.approx(start_of(STAMPED, 20), abs=RATE * 0.1)
    assert (at.tied, at.within_s) == ("host time", 0.1)
    assert time_line.at(Heard(b"later", 10**6, 9 * SECOND)) is None
    single = capture.at_console_line(lines[20])
    assert (single.tied, single.channel) == ("host time", None)
    assert single.start_sample == pytest.approx(at.start_sample, abs=BIT)


def test_what_another_console_said_ties_nothing() -> None:
    others = [b"[%12.6f] another: %d" % (7 + number / 3, number) for number in range(50)]
    with pytest.raises(LogicError, match="no channel says them at 115200 baud, and when it was made is not known"):
        console(others).time_line(heard(STAMPED))
    tied = console(others, host_ns=0).time_line(heard(STAMPED))
    assert tied.tied == "host time"


def test_too_few_samples_a_bit_leave_the_hosts_time() -> None:
    lines = heard(STAMPED)
    with pytest.raises(LogicError, match=r"only 2\.2 samples a bit"):
        Capture(250_000, ("D0",), bytes(1000)).time_line(lines)
    assert Capture(250_000, ("D0",), bytes(1000), host_ns=0).time_line(lines).tied == "host time"


def test_the_time_line_of_a_console_log() -> None:
    log = ConsoleLog()
    for line in STAMPED:
        log.append(line + b"\r\n", 77)
    at = console(STAMPED, host_ns=0).time_line(log.lines()).at(log.lines()[5])
    assert at is not None
    assert at.start_sample == pytest.approx(start_of(STAMPED, 5), abs=BIT)


def test_nothing_said_and_nothing_heard() -> None:
    empty = Capture(RATE, ("D0",), b"", host_ns=0)
    assert empty.time_line([]).tied == "host time"
    assert console(STAMPED, host_ns=0).time_line([]).tied == "host time"
    assert empty.time_line(heard(STAMPED)).at(heard(STAMPED)[0]) is None
    assert align([], [b"x"]).tolist() == [-1]
    assert align([b"x"], []).tolist() == []


def test_the_least_late_block_tells_the_time_of_the_samples() -> None:
    rng = random.Random(4)
    clock = SampleClock(RATE)
    assert clock.host_ns(0) is None
    for number in range(1, 2000):
        clock.note(number * 10_000, 50 * SECOND + number * 10_000_000 + rng.randrange(80_000_000))
    for sample in (0, 5_000_000, 19_990_000):
        assert clock.host_ns(sample) == pytest.approx(50 * SECOND + sample * 1000, abs=5_000_000)


def test_a_clock_that_goes_wrong_is_followed() -> None:
    """Samples were lost: from then on each comes a second later."""
    clock = SampleClock(RATE)
    for number in range(1, 4000):
        clock.note(number * 10_000, number * 10_000_000 + (SECOND if number > 2000 else 0))
    assert clock.host_ns(39_990_000) == pytest.approx(39_990_000 * 1000 + SECOND, abs=5_000_000)


def test_a_part_of_a_capture_has_its_own_host_time() -> None:
    part = Capture(RATE, ("D0",), bytes(1000), host_ns=5_000).between(0.0002, 0.0004)
    assert part.host_ns == 205_000
    assert Capture(RATE, ("D0",), bytes(1000)).between(0.0002, 0.0004).host_ns is None

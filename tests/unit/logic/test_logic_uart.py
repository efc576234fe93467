"""The UART decoder on synthetic lines: any bytes, any rate, any phase, any chunking."""

from __future__ import annotations

import itertools
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic.uart import Parity, UartDecoder, UartFrame, UartFrames
from tests.unit.logic.uart_line import uart_line

BAUD = 100_000
PARITIES = st.sampled_from(["none", "odd", "even", "mark", "space"])


def decode(line: bytes, samplerate: int, chunks: list[int] | None = None, **settings: object) -> list[UartFrame]:
    decoder = UartDecoder(samplerate, BAUD, **settings)  # type: ignore[arg-type]
    frames: list[UartFrame] = []
    at = 0
    for size in chunks or []:
        frames += decoder.feed(line[at : at + size])
        at += size
    return [*frames, *decoder.feed(line[at:]), *decoder.finish()]


def values(frames: list[UartFrame]) -> bytes:
    assert [frame for frame in frames if frame.error] == []
    return bytes(frame.value for frame in frames)


@settings(deadline=None)
@given(
    data=st.binary(max_size=60),
    samplerate=st.integers(8 * BAUD, 60 * BAUD),
    error=st.floats(-0.02, 0.02),
    phase=st.floats(0, 1, exclude_max=True),
    gap=st.floats(0, 3),
    chunks=st.lists(st.integers(0, 300), max_size=40),
)
def test_any_bytes_at_any_rate_phase_and_chunking_come_back_equal(
    data: bytes, samplerate: int, error: float, phase: float, gap: float, chunks: list[int]
) -> None:
    line = uart_line(data, samplerate / BAUD * (1 + error), phase=phase, gap_bits=gap)
    assert values(decode(line, samplerate, chunks)) == data


@settings(deadline=None)
@given(
    data=st.lists(st.integers(0, 511), min_size=1, max_size=40),
    phase=st.floats(0, 1, exclude_max=True),
    sign=st.sampled_from([-1, 1]),
    data_bits=st.integers(5, 9),
    parity=PARITIES,
    stop_bits=st.sampled_from([1, 1.5, 2]),
    per_bit=st.one_of(st.just(8.0), st.floats(8, 40)),
)
def test_three_percent_of_baud_error_at_eight_samples_a_bit_or_more_in_every_format(
    data: list[int], phase: float, sign: int, data_bits: int, parity: Parity, stop_bits: float, per_bit: float
) -> None:
    sent = [value % (1 << data_bits) for value in data]
    samplerate = ceil(per_bit * BAUD)
    sent_per_bit = samplerate / BAUD * (1 + 0.03 * sign)
    line = uart_line(sent, sent_per_bit, phase=phase, data_bits=data_bits, parity=parity, stop_bits=stop_bits)
    frames = decode(line, samplerate, data_bits=data_bits, parity=parity, stop_bits=stop_bits)
    assert [(frame.value, frame.error) for frame in frames] == [(value, None) for value in sent]


@settings(deadline=None)
@given(
    data=st.binary(max_size=60),
    samplerate=st.integers(12 * BAUD, 60 * BAUD),
    drift=st.floats(-0.02, 0.02),
    jitter=st.lists(st.floats(-0.08, 0.08), min_size=1, max_size=20),
    gap=st.sampled_from([0.0, 0.3, 2.7]),
    chunks=st.lists(st.integers(0, 300), max_size=40),
)
def test_jitter_and_a_clock_that_drifts(
    data: bytes, samplerate: int, drift: float, jitter: list[float], gap: float, chunks: list[int]
) -> None:
    shakes = itertools.cycle(jitter)
    line = uart_line(
        data,
        samplerate / BAUD,
        gap_bits=gap,
        jitter=lambda: next(shakes),
        drift=lambda number: drift * number / max(len(data), 1),
    )
    assert values(decode(line, samplerate, chunks)) == data


@settings(deadline=None)
@given(
    data_bits=st.integers(5, 9),
    parity=PARITIES,
    stop_bits=st.sampled_from([1, 1.5, 2]),
    invert=st.booleans(),
    seeds=st.lists(st.integers(0, 511), max_size=30),
)
def test_every_frame_format(data_bits: int, parity: Parity, stop_bits: float, invert: bool, seeds: list[int]) -> None:
    sent = [seed % (1 << data_bits) for seed in seeds]
    line = uart_line(sent, 10.3, data_bits=data_bits, parity=parity, stop_bits=stop_bits, phase=0.4)
    if invert:
        line = bytes(1 - level for level in line)
    frames = decode(line, 1_030_000, data_bits=data_bits, parity=parity, stop_bits=stop_bits, invert=invert)
    assert [(frame.value, frame.error) for frame in frames] == [(value, None) for value in sent]


@pytest.mark.parametrize("size", [1, 7, 13, 1000])
@settings(deadline=None)
@given(noise=st.binary(max_size=400), begin=st.integers(0, 200))
def test_chunking_changes_nothing_in_noise_and_when_begun_anywhere(size: int, noise: bytes, begin: int) -> None:
    line = (uart_line(b"Unable to handle kernel", 9.7) + bytes(byte & 1 for byte in noise) + bytes(150))[begin:]
    whole = decode(line, 970_000)
    assert decode(line, 970_000, [size] * (len(line) // size)) == whole


@settings(deadline=None)
@given(cut=st.floats(0, 10, exclude_max=True), phase=st.floats(0, 1, exclude_max=True))
def test_begun_in_the_middle_of_a_character_the_next_ones_are_whole(cut: float, phase: float) -> None:
    text = b"Internal error: Oops: 17 [#1] PREEMPT SMP ARM\r\n"
    line = uart_line(text, 8.68, phase=phase, idle_bits=0)[int(cut * 8.68) :]
    got = bytes(frame.value for frame in decode(line, 868_000))
    assert got.endswith(text[3:])


def test_a_trigger_on_the_start_bit_loses_no_character() -> None:
    line = uart_line(b"ROK\r\nOK\r\n", 8.68, phase=0.3, idle_bits=0).lstrip(b"\x01")
    assert values(decode(line, 868_000)) == b"ROK\r\nOK\r\n"


def test_start_samples_are_those_of_the_start_edges() -> None:
    line = uart_line(b"AB", 10, idle_bits=20, gap_bits=5)
    assert [frame.start_sample for frame in decode(line, 1_000_000, [77, 3])] == [200, 350]


def test_a_break_is_one_frame_and_the_next_character_is_whole() -> None:
    line = uart_line(b"a", 10) + bytes(1234) + uart_line(b"h", 10)
    frames = decode(line, 1_000_000)
    assert [(frame.value, frame.error) for frame in frames] == [(0x61, None), (0, "break"), (0x68, None)]
    assert frames[1].start_sample == len(uart_line(b"a", 10))


def test_a_missing_stop_bit_is_a_framing_error() -> None:
    line = bytearray(uart_line(b"AB", 10, idle_bits=20, gap_bits=5))
    line[290:300] = bytes(10)
    frames = decode(bytes(line), 1_000_000)
    assert frames == [UartFrame(200, 0x41, "framing"), UartFrame(350, 0x42, None)]


def test_a_flipped_bit_is_a_parity_error() -> None:
    line = bytearray(uart_line(b"A", 10, parity="even", idle_bits=20))
    line[220:230] = b"\x01" * 10
    assert decode(bytes(line), 1_000_000, parity="even") == [UartFrame(200, 0x43, "parity")]


@settings(deadline=None)
@given(bit=st.integers(0, 9), where=st.integers(0, 99))
def test_a_spike_of_one_sample_changes_no_character(bit: int, where: int) -> None:
    line = bytearray(uart_line(b"\x0a", 10, idle_bits=20))
    line[200 + where] ^= 1
    assert bytes(frame.value for frame in decode(bytes(line), 1_000_000)) == b"\x0a"


def test_a_spike_on_the_idle_line_is_no_character() -> None:
    line = bytearray(uart_line(b"ok", 20, idle_bits=30))
    line[100:104] = bytes(4)
    assert values(decode(bytes(line), 2_000_000)) == b"ok"


def test_glitches_are_told_with_their_samples_and_change_no_character() -> None:
    line = bytearray(uart_line(b"ok\n", 20, idle_bits=30))
    for start, end in ((100, 104), (609, 610), (1021, 1028)):  # idle, inside the start bit, inside a data bit
        line[start:end] = bytes(1 - level for level in line[start:end])
    decoder = UartDecoder(2_000_000, BAUD)
    parts = [decoder.feed(bytes(line[at : at + 101])) for at in range(0, len(line), 101)]
    found = UartFrames.join([*parts, decoder.finish()])
    assert found.data == b"ok\n"
    assert set(found.glitches.tolist()) >= {100, 609, 1021}
    assert not found.errors


def test_a_line_without_glitches_has_none() -> None:
    decoder = UartDecoder(868_000, BAUD)
    found = decoder.feed(uart_line(bytes(range(256)), 8.68))
    assert len(found) == 256
    assert found.glitches.tolist() == []


def test_a_line_sampled_twenty_thousand_times_a_bit() -> None:
    line = b"".join(bytes([level]) * 20_000 for level in uart_line(b"slow", 1, idle_bits=2, tail_bits=2))
    decoder = UartDecoder(20_000_000, 1000)
    found = [*decoder.feed(line), *decoder.finish()]
    assert found == [UartFrame(40_000 + 200_000 * number, value) for number, value in enumerate(b"slow")]


def test_frames_are_a_sequence() -> None:
    decoder = UartDecoder(1_000_000, BAUD)
    frames = decoder.feed(uart_line(b"abc", 10, idle_bits=20))
    assert len(frames) == 3
    assert frames[0] == frames[-3] == (200, 0x61, None)
    assert frames[1:] == (UartFrame(300, 0x62), UartFrame(400, 0x63))
    assert frames == list(frames)
    assert frames != [frames[0]]
    assert repr(frames) == "UartFrames(3 characters, 0 with errors: b'abc')"
    assert UartFrame(300, 0x62) in frames
    with pytest.raises(IndexError):
        frames[3]


@settings(deadline=None)
@given(
    noise=st.binary(min_size=1, max_size=300),
    unitsize=st.integers(1, 5),
    bit=st.integers(0, 39),
    chunks=st.lists(st.integers(0, 300), max_size=10),
)
def test_the_channels_beside_it_change_nothing(noise: bytes, unitsize: int, bit: int, chunks: list[int]) -> None:
    bit %= unitsize * 8
    data = noise[:20]
    line = uart_line(data, 9.1, phase=0.2)
    beside = itertools.cycle(noise)
    units = [
        int.from_bytes(bytes(next(beside) for _ in range(unitsize)), "little") & ~(1 << bit) | level << bit
        for level in line
    ]
    decoder = UartDecoder(910_000, BAUD, unitsize=unitsize, bit=bit)
    got, at = b"", 0
    for size in [*chunks, len(units)]:
        got += decoder.feed(b"".join(unit.to_bytes(unitsize, "little") for unit in units[at : at + size])).data
        at += size
    assert got + decoder.finish().data == data


def test_fewer_than_eight_samples_a_bit_are_refused_with_the_reason() -> None:
    with pytest.raises(LogicError, match=r"500000 Hz is only 4\.3 samples a bit at 115200 baud: .*921600 Hz or more"):
        UartDecoder(500_000, 115200)
    UartDecoder(500_000, 115200, coarse=True)
    with pytest.raises(LogicError, match="below 3 samples a bit no decoder"):
        UartDecoder(250_000, 115200, coarse=True)


@pytest.mark.parametrize(
    "settings", [{"baudrate": 0}, {"data_bits": 4}, {"parity": "both"}, {"stop_bits": 0}], ids=lambda found: str(found)
)
def test_what_no_uart_has_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(LogicError, match="no UART has"):
        UartDecoder(1_000_000, **settings)  # type: ignore[arg-type]

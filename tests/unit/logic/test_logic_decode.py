"""sigrok's own decoders on captures of ours."""

from __future__ import annotations

import copy
import random
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic import Capture
from pytest_shepherd_hil.logic.decode import decode
from pytest_shepherd_hil.logic.sigrok_input import CaptureInput
from tests.unit.logic.uart_line import uart_line

if TYPE_CHECKING:
    from collections.abc import Iterable

CONDITION = st.one_of(
    st.dictionaries(st.integers(0, 2), st.sampled_from("hlrfes"), min_size=1),
    st.fixed_dictionaries({"skip": st.integers(1, 20)}),
)


def i2c(transfers: Iterable[bytes]) -> Capture:
    """SDA on D4, SCL on D9 of a capture of 10 channels at 1 MHz; each transfer is an address and what is written."""
    steps: list[tuple[int, int]] = [(1, 1)]
    for transfer in transfers:
        steps += [(0, 1), (0, 0)]
        for byte in transfer:
            for bit in [*(byte >> place & 1 for place in range(7, -1, -1)), 0]:
                steps += [(bit, 0), (bit, 1), (bit, 0)]
        steps += [(0, 0), (0, 1), (1, 1)]
    units = [sda << 4 | scl << 9 for sda, scl in steps for _ in range(5)]
    names = tuple(f"D{number}" for number in range(10))
    return Capture(1_000_000, names, b"".join(unit.to_bytes(2, "little") for unit in units), {"D4": "sda"})


def test_i2c_by_its_pins() -> None:
    cap = i2c([b"\xa0\x10\xde\xad", b"\x90\x01"])
    found = cap.decode("i2c", sda="sda", scl="D9")
    assert [note.data[1] for note in found if note.data[0] == "DATA WRITE"] == [0x10, 0xDE, 0xAD, 0x01]
    assert [note.data[1] for note in found if note.data[0] == "ADDRESS WRITE"] == [0x50, 0x48]
    start = next(note for note in found if note.data[0] == "START")
    assert cap.edges("sda")[0] == start.start_sample


def test_what_a_decoder_shows_to_people() -> None:
    shown = i2c([b"\xa0\x10"]).decode("i2c", sda="D4", scl="D9", annotations=True)
    assert ["address-write", "Address write: 50"] in [note.data for note in shown]


def test_a_decoder_that_works_on_anothers_output_gets_it() -> None:
    cap = i2c([b"\xa0\x10\xde\xad"])
    shown = cap.decode("eeprom24xx", sda="D4", scl="D9", options={"addr_counter": 0})
    assert any(note.data[0] == "byte-write" or "write" in note.data[0] for note in shown)
    assert any("10" in note.data[1] for note in shown)


def test_sigroks_uart_agrees_on_a_synthetic_capture() -> None:
    data = random.Random(1).randbytes(200)
    noise = random.Random(2).randbytes(1 << 15)
    line = uart_line(data, 1_000_000 / 115200, phase=0.6)
    samples = bytes(level << 2 | byte & 0b1011 for level, byte in zip(line, noise, strict=False))
    capture = Capture(1_000_000, ("D0", "D1", "D2", "D3"), samples, {"D2": "uart_tx"})
    found = decode(capture, "uart", {"rx": "uart_tx"}, {"baudrate": 115200})
    assert bytes(note.data[2][0] for note in found if note.data[0] == "DATA") == data
    assert capture.uart("uart_tx").data == data


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    per_bit=st.sampled_from([8, 8.68, 17.36, 34.7, 104.2]),
    clock=st.floats(-0.02, 0.02),
    parity=st.sampled_from(["none", "odd", "even"]),
    data_bits=st.integers(5, 9),
)
def test_sigroks_uart_finds_the_same_characters_and_framing_errors(
    seed: int, per_bit: float, clock: float, parity: Any, data_bits: int
) -> None:
    source = random.Random(seed)
    levels: list[tuple[int, float]] = [(1, 14)]
    for _ in range(40):
        data = [source.getrandbits(1) for _ in range(data_bits)]
        levels += [(0, 1), *((bit, 1) for bit in data)]
        if parity != "none":
            levels.append((sum(data) % 2 ^ (parity == "odd") ^ (source.random() < 0.05), 1))
        if source.random() < 0.05:  # no stop bit
            levels.append((0, 1))
        levels.append((1, 1 + source.choice([0, 0, 0.5, 3.3])))
    levels.append((1, 14))
    line, end = bytearray(), source.random()
    for level, bits in levels:
        end += bits * per_bit * (1 + clock)
        line += bytes([level]) * (ceil(end) - len(line))
    capture = Capture(1_000_000, ("D0",), bytes(line))
    frames = capture.uart("D0", 1e6 / per_bit, parity=parity, data_bits=data_bits).frames
    options = {"baudrate": 1e6 / per_bit, "parity": parity, "data_bits": data_bits}
    theirs = capture.decode("uart", rx="D0", options=options)
    assert [note.data[2][0] for note in theirs if note.data[0] == "DATA"] == frames.values.tolist()
    invalid = sum(note.data[0] == "INVALID STOPBIT" for note in theirs)
    assert sum(frame.error in ("framing", "break") for frame in frames) == invalid


def test_what_sigroks_decoders_do_not_have_is_told() -> None:
    capture = Capture(1_000_000, ("D0",), b"\x01" * 100)
    with pytest.raises(LogicError, match="no decoder 'uarrt'; did you mean uart"):
        decode(capture, "uarrt")
    with pytest.raises(LogicError, match="no pin 'rxd'; it has rx, tx"):
        decode(capture, "uart", {"rxd": "D0"})
    with pytest.raises(LogicError, match=r"no option 'baud'; it has baudrate, data_bits"):
        decode(capture, "uart", {"rx": "D0"}, {"baud": 9600})
    with pytest.raises(LogicError, match="no channel 'D7'"):
        decode(capture, "uart", {"rx": "D7"})
    with pytest.raises(LogicError, match="i2c needs a channel for its pin sda"):
        capture.decode("i2c", scl="D0")
    with pytest.raises(LogicError, match="uart needs a channel for its pin rx, tx"):
        capture.decode("uart")


@settings(deadline=None, max_examples=60)
@given(
    units=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 12)), min_size=1, max_size=30),
    waits=st.lists(st.lists(CONDITION, max_size=3), min_size=1, max_size=30),
)
def test_waiting_is_what_pysigroks_own_reader_does(
    tmp_path_factory: pytest.TempPathFactory,
    units: list[tuple[int, int]],
    waits: list[list[dict[Any, Any]]],
) -> None:
    from sigrokdecode.srzip import SrZipInput

    capture = Capture(1000, ("D0", "D1", "D2"), b"".join(bytes([unit]) * count for unit, count in units))
    file = tmp_path_factory.mktemp("sr") / "x.sr"
    capture.save(file)
    theirs, ours = SrZipInput(str(file)), CaptureInput(capture.samples, 1, range(3))
    try:
        for conditions in waits:
            try:
                expected = theirs.wait(copy.deepcopy(conditions))[:3]
            except EOFError:
                with pytest.raises(EOFError):
                    ours.wait(conditions)
                break
            assert ours.wait(conditions) == expected
            assert (ours.samplenum, ours.matched) == (theirs.samplenum, list(theirs.matched))
    finally:
        theirs.zip.close()

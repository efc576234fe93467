"""Rates and formats measured from a line alone."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic import Capture
from tests.unit.logic.uart_line import uart_line

if TYPE_CHECKING:
    from pytest_shepherd_hil.logic.baudrate import UartGuess

LOG = (
    b"[   12.345678] usb 1-1: new high-speed USB device number 2 using musb-hdrc\r\n"
    b"Unable to handle kernel NULL pointer dereference at virtual address 00000000\r\n"
    b"Internal error: Oops: 17 [#1] PREEMPT SMP ARM\r\n"
)


def guess(line: bytes, samplerate: int = 1_000_000) -> UartGuess:
    return Capture(samplerate, ("D0",), line).guess_uart("D0")


@settings(deadline=None, max_examples=25)
@given(
    baudrate=st.sampled_from([9600, 38400, 57600, 115200, 230400, 921600, 1_500_000]),
    per_bit=st.floats(4.4, 60),
    clock=st.floats(-0.02, 0.02),
    phase=st.floats(0, 1, exclude_max=True),
    parity=st.sampled_from(["none", "odd", "even"]),
    stop_bits=st.sampled_from([1, 2]),
    gap=st.sampled_from([0, 0.5, 3.3, 30]),
    begin=st.integers(0, 100),
    invert=st.booleans(),
)
def test_rate_and_format_of_a_console(
    baudrate: int,
    per_bit: float,
    clock: float,
    phase: float,
    parity: str,
    stop_bits: int,
    gap: float,
    begin: int,
    invert: bool,
) -> None:
    samplerate = round(baudrate * per_bit)
    line = uart_line(
        LOG[begin:],
        samplerate / baudrate * (1 + clock),
        phase=phase,
        parity=parity,
        stop_bits=stop_bits,
        gap_bits=gap,
    )
    found = guess(bytes(1 - level for level in line) if invert else line, samplerate)
    assert (found.baudrate, found.data_bits, found.parity, found.invert) == (baudrate, 8, parity, invert)
    assert found.measured == pytest.approx(baudrate / (1 + clock), rel=0.01)
    assert found.doubt is None
    assert LOG[begin:].decode().startswith(found.text)


def test_drift_and_jitter_and_a_few_glitches() -> None:
    shakes = random.Random(5)
    line = bytearray(
        uart_line(
            LOG,
            1_000_000 / 57600,
            jitter=lambda: shakes.uniform(-0.06, 0.06),
            drift=lambda number: 0.02 * number / len(LOG),
        )
    )
    for _ in range(5):
        line[shakes.randrange(len(line))] ^= 1
    found = guess(bytes(line))
    assert (found.baudrate, found.parity, found.doubt) == (57600, "none", None)
    assert found.measured == pytest.approx(57600 / 1.01, rel=0.005)


def test_seven_bits_and_parity_are_told_from_eight_bits() -> None:
    for parity in ("odd", "even"):
        found = guess(uart_line(LOG, 104.2, data_bits=7, parity=parity))
        assert (found.baudrate, found.data_bits, found.parity) == (9600, 7, parity)


def test_a_rate_without_a_name_is_the_measured_one() -> None:
    assert guess(uart_line(LOG, 20)).baudrate == pytest.approx(50_000, rel=1e-3)


def test_a_line_that_begins_within_a_character() -> None:
    line = uart_line(LOG * 2, 8.68, idle_bits=0)
    for begin in range(0, 100, 9):
        found = guess(line[begin:])
        assert (found.baudrate, found.doubt) == (115200, None)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "stays low"),
        (bytes(1000), "stays low"),
        (b"\x01" * 1000, "stays high"),
        (bytes(500) + b"\x01" * 500, "has only 1 edge, too few for a character"),
        ((bytes(50) + b"\x01" * 50) * 30, "is a square wave of 10000 Hz"),
        ((bytes(30) + b"\x01" * 70) * 30, "repeats at 10000 Hz, 70% high"),
        (bytes(random.Random(1).choices((0, 1), k=4000)), "sampled too slowly to read a UART from it"),
    ],
)
def test_what_is_no_uart_is_refused_with_the_reason(line: bytes, why: str) -> None:
    with pytest.raises(LogicError, match=why):
        guess(line)


def test_what_might_be_something_else_is_doubted() -> None:
    pauses = random.Random(3)
    same = b"".join(uart_line(b"\x0f", 10, idle_bits=pauses.uniform(2, 30)) for _ in range(50))
    assert guess(same).doubt == "always the same character, as a clock or a pulse-width modulation might look"
    assert guess(uart_line(b"ok", 10)).doubt == "only 2 characters"


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_random_levels_are_no_uart_for_sure(seed: int) -> None:
    source = random.Random(seed)
    line = b"".join(bytes([number % 2]) * source.randint(5, 200) for number in range(400))
    with suppress(LogicError):
        assert guess(line).doubt is not None

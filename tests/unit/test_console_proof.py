"""Which way a console is the wrong one, as the error says it."""

from __future__ import annotations

import random

import pytest

from pytest_shepherd_hil.console.proof import Unproven, explain

CONSOLES = "ttyS0                -W- (EC p a)    4:64\n"


def said(heard: bytes = b"", lines: tuple[str, ...] = (), consoles: str = CONSOLES) -> str:
    return explain(Unproven("bbb01", "/dev/ttyUSB0", 115200, 5.0, heard, lines, consoles, "beagle"))


def test_silence_asks_for_the_wire_and_says_where_the_kernel_prints() -> None:
    text = said()
    assert "not a single byte did" in text
    assert "pin 5 of J1" in text
    assert "The kernel prints to ttyS0 (/proc/consoles)" in text


def test_silence_of_a_kernel_without_a_serial_console_is_not_the_wires_fault() -> None:
    text = said(consoles="tty0                 -WU (EC  p  )    4:1\n")
    assert "prints on no serial port at all: /proc/consoles has tty0; add console=" in text
    assert "J1" not in text


def test_bytes_that_are_mostly_no_text_are_a_wrong_baud_rate() -> None:
    noise = random.Random(1).randbytes(500)
    text = said(noise)
    assert "500 bytes did" in text
    assert "wrong baud rate?" in text
    assert "another board" not in text


def test_text_of_somebody_else_is_another_board_and_is_shown() -> None:
    text = said(b"raspberrypi login: \r\n" * 9, ("raspberrypi login: ",) * 9)
    assert "another board's console? (this one calls itself beagle)" in text
    assert text.count("\n  | raspberrypi login:") == 5


def test_our_own_line_with_lost_bytes_is_a_damaged_wire() -> None:
    text = said(b"[   1.000000] hil: fece c0ffee-1\r\n", ("[   1.000000] hil: fece c0ffee-1",))
    assert "the line came out damaged" in text


@pytest.mark.parametrize("consoles", ["", "\n \n", "\x1b[2J\n" * 3])
def test_whatever_the_shell_says_the_error_is_made(consoles: str) -> None:
    assert "\x1b" not in said(consoles=consoles)

"""Real recordings, and captures as a test uses them."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic import Capture
from pytest_shepherd_hil.logic.decode import decode
from tests.requirements import SHARED, require
from tests.unit.logic.uart_line import uart_line

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_shepherd_hil.logic.uart import Parity

CAPTURES = SHARED / "captures"
HELLO = "Hello World!\r\n"
SENT = (
    "AT+JSEC=1,1,2,04,7777\r\nAT+JDIS=3\r\nAT+JRLS=1101,11,Serial port,01,000000\r\n"
    "AT+JSLN=21,MyCoolBluetoothDevice\r\nAT+JAAC=1\r\nAT+JSCR\r\n"
)
RECEIVED = "ROK\r\n" + 6 * "OK\r\n"


@require("shared")
@pytest.mark.parametrize(
    ("file", "channel", "baudrate", "parity", "text"),
    [
        ("hello_world_8n1_9600.sr", "TX", 9600, "none", 4 * HELLO),
        ("hello_world_8n1_115200.sr", "TX", 115200, "none", 3 * HELLO),
        ("hello_world_8n1_921600.sr", "TX", 921600, "none", 3 * HELLO),
        ("hello_world_8e1_115200.sr", "TX", 115200, "even", 4 * HELLO),
        ("panasonic_pan1321_init.sr", "TX", 115200, "none", SENT),
        ("panasonic_pan1321_init.sr", "RX", 115200, "none", RECEIVED),
        # here the recording's own names are the other way round
        ("panasonic_pan1321_init_triggered.sr", "RX", 115200, "none", SENT),
        ("panasonic_pan1321_init_triggered.sr", "TX", 115200, "none", RECEIVED),
    ],
)
def test_recorded_text(file: str, channel: str, baudrate: int, parity: Parity, text: str) -> None:
    uart = Capture.load(CAPTURES / file).uart(channel, baudrate, parity=parity)
    assert uart.text == text
    assert {frame.error for frame in uart.frames} <= {None, "break"}


@require("shared")
def test_recorded_nmea_sentences_check_themselves() -> None:
    text = Capture.load(CAPTURES / "mtk3339_8n1_9600.sr").uart("TX", 9600).text
    assert text.startswith("19,39,253,44")
    sentences = [line for line in text.split("\r\n")[1:-1] if line]
    assert len(sentences) > 15
    for sentence in sentences:
        body, _, checksum = sentence.removeprefix("$").partition("*")
        total = 0
        for character in body.encode():
            total ^= character
        assert total == int(checksum, 16), sentence


@require("shared")
def test_recorded_count() -> None:
    capture = Capture.load(CAPTURES / "uart_count_19200_8n1.sr")
    assert capture.channels == ("tx", "rx", "ch")
    uart = capture.uart("tx", 19200)
    assert uart.data == bytes((0x80 + number) % 256 for number in range(len(uart.data)))
    assert len(uart.data) == 365
    assert uart.errors == ()


@require("shared")
def test_recorded_glitch_in_the_middle_of_a_bit() -> None:
    assert Capture.load(CAPTURES / "glitch_0x0a.sr").uart("RX").data == b"\x0a"


@require("shared")
def test_recorded_framing_errors() -> None:
    uart = Capture.load(CAPTURES / "ampel64_4800_8n1_frame_errors.sr").uart("TX", 4800)
    assert uart.data == b"ASU1\x8164\n"
    assert [(frame.start_sample, chr(frame.value), frame.error) for frame in uart.errors] == [
        (5599, "S", "framing"),
        (11440, "U", "framing"),
        (20618, "\x81", "framing"),
    ]


@require("shared")
@require("sigrok-cli")
@pytest.mark.parametrize(
    ("file", "channel", "baudrate", "parity"),
    [
        ("hello_world_8n1_9600.sr", "TX", 9600, "none"),
        ("hello_world_8n1_115200.sr", "TX", 115200, "none"),
        ("hello_world_8n1_921600.sr", "TX", 921600, "none"),
        ("hello_world_8e1_115200.sr", "TX", 115200, "even"),
        ("panasonic_pan1321_init.sr", "TX", 115200, "none"),
        ("panasonic_pan1321_init.sr", "RX", 115200, "none"),
        # its other channel begins inside a start bit, where sigrok loses the first characters
        ("panasonic_pan1321_init_triggered.sr", "RX", 115200, "none"),
        ("mtk3339_8n1_9600.sr", "TX", 9600, "none"),
        ("uart_count_19200_8n1.sr", "tx", 19200, "none"),
        ("uart_count_19200_8n1.sr", "rx", 19200, "none"),
        ("uart_count_19200_8n1.sr", "ch", 19200, "none"),
        ("ampel64_4800_8n1_frame_errors.sr", "TX", 4800, "none"),
    ],
)
def test_sigrok_cli_says_the_same_of_every_recording(file: str, channel: str, baudrate: int, parity: Parity) -> None:
    decoder = f"uart:rx={channel}:baudrate={baudrate}:parity={parity}"
    theirs = subprocess.run(
        ["sigrok-cli", "-i", str(CAPTURES / file), "-P", decoder, "-B", "uart=rx"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=True,
    ).stdout
    assert Capture.load(CAPTURES / file).uart(channel, baudrate, parity=parity).data == theirs


@require("shared")
@pytest.mark.parametrize(
    ("file", "channel", "baudrate", "options"),
    [
        ("hello_world_8n1_9600.sr", "TX", 9600, {}),
        ("hello_world_8n1_115200.sr", "TX", 115200, {}),
        ("hello_world_8n1_921600.sr", "TX", 921600, {}),
        ("hello_world_8e1_115200.sr", "TX", 115200, {"parity": "even"}),
        ("uart_count_19200_8n1.sr", "tx", 19200, {}),
        ("ampel64_4800_8n1_frame_errors.sr", "TX", 4800, {}),
        # its own middle of a bit is where the glitch is
        ("glitch_0x0a.sr", "RX", 115200, {"sample_point": 70}),
    ],
)
def test_sigroks_own_decoder_finds_the_same(file: str, channel: str, baudrate: int, options: dict[str, object]) -> None:
    found = decode(CAPTURES / file, "uart", {"rx": channel}, {"baudrate": baudrate, **options})
    theirs = [note for note in found if note.data[0] == "DATA"]
    parity: Parity = "even" if "parity" in options else "none"
    ours = Capture.load(CAPTURES / file).uart(channel, baudrate, parity=parity)
    assert bytes(note.data[2][0] for note in theirs) == ours.data
    per_bit = ours.samples_per_bit
    for note, frame in zip(theirs, ours.frames, strict=True):
        assert note.start_sample == pytest.approx(frame.start_sample + per_bit, abs=2 + per_bit / 4)


@pytest.mark.parametrize("channels", [1, 2, 8, 9, 17, 30])
def test_bits_and_edges_of_every_channel(channels: int) -> None:
    names = tuple(f"D{number}" for number in range(channels))
    unitsize = (channels + 7) // 8
    units = [random.Random(channels).getrandbits(channels) for _ in range(500)]
    capture = Capture(1000, names, b"".join(unit.to_bytes(unitsize, "little") for unit in units))
    assert (capture.unitsize, len(capture), capture.duration_s) == (unitsize, 500, 0.5)
    for bit, name in enumerate(names):
        levels = [unit >> bit & 1 for unit in units]
        assert list(capture.bits(name)) == levels
        assert capture.edges(name).tolist() == [at for at in range(1, 500) if levels[at] != levels[at - 1]]


def test_a_channel_has_two_names_and_an_unknown_one_lists_them() -> None:
    capture = Capture(1_000_000, ("D0", "D1"), b"\x02" * 10, {"D0": "uart_tx"})
    assert capture.bits("uart_tx") == capture.bits("D0") == bytes(10)
    with pytest.raises(LogicError, match=r"no channel 'uart_rx' in this capture; it has D0 \(uart_tx\), D1"):
        capture.bits("uart_rx")


def test_text_that_is_not_utf8_is_replaced() -> None:
    capture = Capture(1_000_000, ("D0",), uart_line(b"caf\xe9 \xc3\xa9", 1_000_000 / 115200))
    assert capture.uart("D0").text == "caf� é"


def test_a_long_capture_is_decoded_across_its_blocks() -> None:
    data = bytes(range(256)) * 60
    capture = Capture(1_000_000, ("D0",), uart_line(data, 1_000_000 / 115200))
    assert len(capture) > 1 << 20
    assert capture.uart("D0").data == data


def test_a_live_capture_is_refused_where_a_file_is_read_as_well_as_it_can_be(tmp_path: Path) -> None:
    capture = Capture(500_000, ("D0",), uart_line(b"ok", 500_000 / 115200))
    with pytest.raises(LogicError, match=r"only 4\.3 samples a bit"):
        capture.uart("D0")
    assert capture.uart("D0", coarse=True).text == "ok"
    capture.save(tmp_path / "x.sr")
    assert Capture.load(tmp_path / "x.sr").uart("D0").text == "ok"

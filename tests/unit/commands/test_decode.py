"""shepherd-hil decode, as a user meets it: a process of its own, real recordings and hostile ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil.logic import Capture
from tests.requirements import SHARED, require
from tests.unit.logic.uart_line import uart_line

if TYPE_CHECKING:
    from pathlib import Path

CAPTURES = SHARED / "captures"
TIMEOUT_S = 60


def decode(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_shepherd_hil.cli", "decode", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == status, done.stderr.decode()
    return done


def objects(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def recording(path: Path, *lines: bytes, samplerate: int = 1_000_000) -> Path:
    """A capture with these levels on D0, D1, …; the shorter ones stay as they end."""
    length = max(len(line) for line in lines)
    padded = [line.ljust(length, line[-1:]) for line in lines]
    samples = bytes(sum(level << bit for bit, level in enumerate(levels)) for levels in zip(*padded, strict=True))
    Capture(samplerate, tuple(f"D{bit}" for bit in range(len(lines))), samples).save(path)
    return path


def line_of(data: bytes, baudrate: int = 115200, **settings: Any) -> bytes:
    return uart_line(data, 1_000_000 / baudrate, phase=0.3, **settings)


@require("shared")
def test_the_text_of_a_recording() -> None:
    done = decode(CAPTURES / "hello_world_8n1_9600.sr", "--uart", "TX", "--baudrate", 9600)
    assert done.stdout == b"Hello World!\n" * 4
    assert done.stderr == b""


@require("shared")
def test_its_bytes_as_they_are() -> None:
    done = decode(CAPTURES / "uart_count_19200_8n1.sr", "--uart", "tx", "--baudrate", 19200, "--raw")
    assert done.stdout == bytes((0x80 + number) % 256 for number in range(365))


@require("shared")
def test_parity_of_a_recording() -> None:
    done = decode(CAPTURES / "hello_world_8e1_115200.sr", "--uart", "TX", "--baudrate", 115200, "--parity", "even")
    assert done.stdout == b"Hello World!\n" * 4
    wrong = decode(CAPTURES / "hello_world_8e1_115200.sr", "--uart", "TX", "--baudrate", 115200, "--parity", "odd")
    assert b"parity errors, the first at 0.000127 s (sample 127)" in wrong.stderr


@require("shared")
def test_frames_with_times_and_errors_as_json() -> None:
    file = CAPTURES / "ampel64_4800_8n1_frame_errors.sr"
    found = objects(decode(file, "--uart", "TX", "--baudrate", 4800, "--format", "json"))
    assert bytes(each["value"] for each in found if each["value"] is not None) == b"ASU1\x8164\n"
    assert [(each["start_sample"], each["error"]) for each in found if each["error"]] == [
        (4993, "glitch"),
        (5599, "framing"),
        (11440, "framing"),
        (20618, "framing"),
    ]
    assert found[-1]["time_s"] == pytest.approx(found[-1]["start_sample"] / 2e6)


@require("shared")
@pytest.mark.parametrize(
    ("file", "channel", "uart"),
    [
        ("hello_world_8n1_9600.sr", "TX", "9600 8N1"),
        ("hello_world_8n1_921600.sr", "TX", "921600 8N1"),
        ("hello_world_8e1_115200.sr", "TX", "115200 8E1"),
        ("panasonic_pan1321_init.sr", "RX", "115200 8N1"),
        ("mtk3339_8n1_9600.sr", "TX", "9600 8N1"),
        ("uart_count_19200_8n1.sr", "tx", "19200 8N1"),
        ("ampel64_4800_8n1_frame_errors.sr", "TX", "perhaps UART 4800 8N1"),
    ],
)
def test_without_a_channel_the_channels_are_listed_and_their_rates_guessed(file: str, channel: str, uart: str) -> None:
    lines = decode(CAPTURES / file).stdout.decode().splitlines()
    assert lines[0].startswith(f"{CAPTURES / file}: ")
    found = next(line for line in lines[1:] if line.split()[0] == channel)
    assert uart in found


@require("shared")
def test_the_command_that_the_list_ends_with_works() -> None:
    last = decode(CAPTURES / "hello_world_8e1_115200.sr").stdout.decode().splitlines()[-1]
    assert last.startswith("To read one: shepherd-hil decode ")
    done = decode(*last.split()[5:])
    assert done.stdout == b"Hello World!\n" * 4


def test_what_is_not_given_is_measured(tmp_path: Path) -> None:
    data = b"Unable to handle kernel NULL pointer dereference\r\n"
    line = bytes(1 - level for level in line_of(data, 57600, parity="odd"))
    done = decode(recording(tmp_path / "x.sr", line), "--uart", "D0")
    assert done.stdout == data.replace(b"\r", b"")
    assert b"taken as 57600 8O1 inverted" in done.stderr


def test_a_clock_and_a_quiet_line_are_no_uarts(tmp_path: Path) -> None:
    clock = (b"\x01" * 50 + bytes(50)) * 40
    file = recording(tmp_path / "x.sr", line_of(b"console: ready, steady, go\n"), clock, b"\x01", b"\x00")
    found = {each["channel"]: each for each in objects(decode(file, "--format", "json"))}
    assert found["D0"]["uart"]["baudrate"] == 115200
    assert found["D0"]["uart"]["text"].startswith("console: ready")
    assert [found[name]["reason"] for name in ("D1", "D2", "D3")] == [
        "is a square wave of 10000 Hz",
        "stays high",
        "stays low",
    ]
    done = decode(file, "--uart", "D3", status=1)
    assert b"channel D3 stays low; give --baudrate" in done.stderr


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"data_bits": 7, "parity": "even"}, ("--data-bits", 7, "--parity", "even")),
        ({"stop_bits": 2}, ("--stop-bits", 2)),
        ({"data_bits": 5, "stop_bits": 1.5}, ("--data-bits", 5, "--stop-bits", 1.5)),
    ],
)
def test_formats(tmp_path: Path, settings: dict[str, Any], options: tuple[object, ...]) -> None:
    data = bytes(byte & ((1 << settings.get("data_bits", 8)) - 1) for byte in b"plain words")
    file = recording(tmp_path / "x.sr", line_of(data, **settings))
    assert decode(file, "--uart", "D0", "--baudrate", 115200, *options, "--raw").stdout == data


def test_hostile_text_reaches_no_terminal(tmp_path: Path) -> None:
    said = b"\x1b]0;owned\x07\x1b[2Jred\xe2\x80\xaetxet\x9b31m\rover\r\nend"
    file = recording(tmp_path / "x.sr", line_of(said))
    done = decode(file, "--uart", "D0", "--baudrate", 115200)
    assert done.stdout.decode() == "0;owned\\x07red\\u202etxet\\x9b31m\nover\nend\n"
    for arguments in ((file,), (file, "--uart", "D0", "--baudrate", 115200, "--format", "json")):
        shown = decode(*arguments).stdout.decode()
        assert all(each.isprintable() or each == "\n" for each in shown)


def test_hostile_names_of_channels(tmp_path: Path) -> None:
    Capture(1_000_000, ("\x1b[31mD0", "D\u202e1"), bytes(100)).save(tmp_path / "x.sr")
    done = decode(tmp_path / "x.sr")
    assert b"\x1b" not in done.stdout
    assert "\u202e" not in done.stdout.decode()
    assert b"\x1b" not in decode(tmp_path / "x.sr", "--uart", "D7", status=1).stderr


def test_a_coarse_recording_is_read_with_a_warning_and_a_coarser_one_refused(tmp_path: Path) -> None:
    file = recording(tmp_path / "x.sr", uart_line(b"coarse", 4.34))
    done = decode(file, "--uart", "D0", "--baudrate", 1_000_000 / 4.34)
    assert done.stdout == b"coarse\n"
    assert b"only 4.3 samples a bit" in done.stderr
    assert b"below 3 samples a bit" in decode(file, "--uart", "D0", "--baudrate", 500_000, status=1).stderr


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("none.sr",), 1, b"error: cannot read none.sr: No such file"),
        (("none.sr", "--raw"), 1, b"error: --raw goes with --uart CHANNEL"),
        (("none.sr", "--baudrate", "9600"), 1, b"error: --baudrate goes with --uart CHANNEL"),
        (("none.sr", "--uart", "D0", "--baudrate", "fast"), 2, b"'fast' is no number of bits a second"),
        (("none.sr", "--uart", "D0", "--baudrate", "0"), 2, b"'0' is no number of bits a second"),
        (("none.sr", "--uart", "D0", "--parity", "both"), 2, b"invalid choice: 'both'"),
        (("none.sr", "--uart", "D0", "--raw", "--format", "json"), 2, b"not allowed with"),
    ],
)
def test_what_cannot_be_is_one_clear_error(arguments: tuple[str, ...], status: int, said: bytes) -> None:
    done = decode(*arguments, status=status)
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unknown_channel_lists_those_that_there_are(tmp_path: Path) -> None:
    file = recording(tmp_path / "x.sr", b"\x01" * 10, b"\x01" * 10)
    assert b"no channel 'TX' in this capture; it has D0, D1" in decode(file, "--uart", "TX", status=1).stderr


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    file = recording(tmp_path / "x.sr", line_of(b"line\n" * 20_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_shepherd_hil.cli", "decode", file, "--uart", "D0", "--baudrate", "115200"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"line\n"
    process.stdout.close()
    assert process.wait(TIMEOUT_S) in (0, 141)
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()

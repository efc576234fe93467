""".sr files: written and read back, read by sigrok-cli, and refused where they are not what they seem."""

from __future__ import annotations

import random
import subprocess
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import HostError, LogicError
from pytest_shepherd_hil.logic import Capture, srzip
from tests.requirements import require
from tests.sigrok import read_by_sigrok_cli

if TYPE_CHECKING:
    from pathlib import Path

METADATA = "[global]\n[device 1]\ncapturefile=logic-1\ntotal probes=8\nsamplerate=1 MHz\nprobe1=D0\nunitsize=1\n"


def capture_of(channels: int, samples: int = 1000, samplerate: int = 1_000_000) -> Capture:
    unitsize = (channels + 7) // 8
    units = random.Random(channels)
    data = b"".join(units.getrandbits(channels).to_bytes(unitsize, "little") for _ in range(samples))
    names = tuple(f"D{number}" for number in range(channels))
    return Capture(samplerate, names, data, {"D0": "uart_tx"}, 17)


def session(path: Path, metadata: str = METADATA, version: str = "2", /, **parts: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("version", version)
        file.writestr("metadata", metadata)
        for name, data in parts.items():
            file.writestr(name.replace("_", "-"), data)
    return path


@pytest.mark.parametrize("channels", [1, 2, 7, 8, 9, 16, 17, 24, 33, 64])
def test_what_is_saved_comes_back(tmp_path: Path, channels: int) -> None:
    capture = capture_of(channels)
    capture.save(tmp_path / "x.sr")
    loaded = Capture.load(tmp_path / "x.sr")
    assert loaded == capture
    assert loaded.path == tmp_path / "x.sr"
    assert [path.name for path in tmp_path.iterdir()] == ["x.sr"]


def test_more_than_one_chunk_comes_back(tmp_path: Path) -> None:
    capture = Capture(24_000_000, tuple(f"D{bit}" for bit in range(17)), random.Random(3).randbytes(3) * 3_000_000)
    capture.save(tmp_path / "x.sr")
    with zipfile.ZipFile(tmp_path / "x.sr") as file:
        assert [name for name in file.namelist() if name.startswith("logic")] == ["logic-1-1", "logic-1-2", "logic-1-3"]
    assert Capture.load(tmp_path / "x.sr") == capture


@require("sigrok-cli")
@pytest.mark.parametrize("channels", [1, 2, 8, 9, 16, 24, 32])
@pytest.mark.parametrize("samplerate", [24_000_000, 625_000, 1_234_567])
def test_sigrok_cli_reads_every_sample(tmp_path: Path, channels: int, samplerate: int) -> None:
    capture = capture_of(channels, samplerate=samplerate)
    file = tmp_path / "x.sr"
    capture.save(file)
    raw = read_by_sigrok_cli(file)
    assert raw == capture.samples
    again = tmp_path / "again.sr"
    subprocess.run(["sigrok-cli", "-i", str(file), "-o", str(again)], stdin=subprocess.DEVNULL, timeout=30, check=True)
    back = Capture.load(again)
    assert (back.samplerate, back.channels, back.samples) == (samplerate, capture.channels, capture.samples)


@pytest.mark.parametrize(
    ("text", "samplerate"),
    [
        ("1 MHz", 1_000_000),
        ("625 kHz", 625_000),
        ("500 kHz", 500_000),
        ("16.1 MHz", 16_100_000),
        ("123.457 kHz", 123_457),
        ("1.5 GHz", 1_500_000_000),
        ("24000000", 24_000_000),
        ("9600 Hz", 9600),
    ],
)
def test_every_way_to_write_a_samplerate(tmp_path: Path, text: str, samplerate: int) -> None:
    file = session(tmp_path / "x.sr", METADATA.replace("1 MHz", text), logic_1_1=b"\x01")
    assert Capture.load(file).samplerate == samplerate


def test_the_old_format_with_triggers_and_more_room_than_channels(tmp_path: Path) -> None:
    metadata = (
        "[global]\nsigrok version = 0.2.0\n[device 1]\ndriver = ols\ncapturefile = logic-1\nunitsize = 4\n"
        "total probes = 32\nsamplerate = 200 kHz\nprobe1 = TX\n trigger1 = 0\nprobe11 = RX\n"
    )
    units = [(number & 1) | (number >> 1 & 1) << 10 for number in range(100)]
    file = session(tmp_path / "x.sr", metadata, "1", logic_1=b"".join(unit.to_bytes(4, "little") for unit in units))
    capture = Capture.load(file)
    assert (capture.channels, capture.unitsize, capture.samplerate) == (("TX", "RX"), 1, 200_000)
    assert capture.samples == bytes(number & 3 for number in range(100))


def test_channels_that_were_off_leave_no_gap(tmp_path: Path) -> None:
    metadata = METADATA.replace("probe1=D0", "probe2=D1\nprobe4=D3\ntotal analog=1\nanalog9=A0")
    capture = Capture.load(session(tmp_path / "x.sr", metadata, logic_1_1=bytes([0b0010, 0b1000, 0b0101])))
    assert (capture.channels, capture.samples) == (("D1", "D3"), bytes([0b01, 0b10, 0b00]))
    assert capture.notes == ("analog channels are passed over: A0",)


def test_a_last_sample_that_is_cut_off_is_noted(tmp_path: Path) -> None:
    file = session(tmp_path / "x.sr", METADATA.replace("unitsize=1", "unitsize=2"), logic_1_1=b"\x01\x00\x00\x00\x01")
    capture = Capture.load(file)
    assert capture.bits("D0") == b"\x01\x00"
    assert capture.notes == ("the last sample is cut off; its 1 bytes are passed over",)


@require("sigrok-cli")
def test_what_sigrok_cli_records_with_analog_channels(tmp_path: Path) -> None:
    file = tmp_path / "demo.sr"
    options = ["--driver", "demo", "--config", "samplerate=200k", "--channels", "D0,D2,A1", "--samples", "5000"]
    subprocess.run(["sigrok-cli", *options, "-o", str(file)], stdin=subprocess.DEVNULL, timeout=30, check=True)
    capture = Capture.load(file)
    assert (capture.channels, capture.samplerate, len(capture)) == (("D0", "D2"), 200_000, 5000)
    assert capture.notes == ("analog channels are passed over: A1",)


@pytest.mark.parametrize(
    ("metadata", "parts", "why"),
    [
        (METADATA, {}, "logic-1-1 is missing"),
        (METADATA, {"logic_1_1": b"1", "logic_1_3": b"3"}, "logic-1-2 is missing"),
        (METADATA.replace("[device 1]", "[device]"), {"logic_1": b"1"}, r"no \[device 1\]"),
        (METADATA.replace("samplerate=1 MHz\n", ""), {"logic_1": b"1"}, "samplerate '' in its metadata"),
        (METADATA.replace("unitsize=1", "unitsize=x"), {"logic_1": b"1"}, "unitsize 'x' in its metadata"),
        (METADATA.replace("probe1=D0", "total analog=1"), {"logic_1": b"1"}, "no logic channels, only analog"),
        (METADATA + "[shepherd-hil]\nfirst sample=x\n", {"logic_1": b"1"}, "is not a sound .sr file"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, metadata: str, parts: dict[str, bytes], why: str) -> None:
    file = session(tmp_path / "odd.sr", metadata, **parts)
    with pytest.raises(LogicError, match=why) as caught:
        Capture.load(file)
    assert str(file) in str(caught.value)


def test_files_that_are_no_sessions(tmp_path: Path) -> None:
    with pytest.raises(LogicError, match=r"cannot read .*none\.sr: No such file"):
        Capture.load(tmp_path / "none.sr")
    text = tmp_path / "text.sr"
    text.write_text("not a zip")
    with pytest.raises(LogicError, match=r"text\.sr is not a sound \.sr file: File is not a zip"):
        Capture.load(text)
    with pytest.raises(LogicError, match="session format '3'"):
        Capture.load(session(tmp_path / "new.sr", METADATA, "3"))
    with zipfile.ZipFile(tmp_path / "other.sr", "w") as file:
        file.writestr("hello", "world")
    with pytest.raises(LogicError, match="no 'version' in it"):
        Capture.load(tmp_path / "other.sr")


def test_a_damaged_file_is_one_error(tmp_path: Path) -> None:
    capture_of(8).save(tmp_path / "x.sr")
    data = bytearray((tmp_path / "x.sr").read_bytes())
    rng = random.Random(0)
    for _ in range(300):
        broken = data.copy()
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (tmp_path / "broken.sr").write_bytes(broken[: rng.choice([len(broken), rng.randrange(len(broken))])])
        with suppress(LogicError):  # nothing else may come out
            Capture.load(tmp_path / "broken.sr")


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    file = session(tmp_path / "bomb.sr", logic_1_1=bytes(50 << 20))
    assert file.stat().st_size < 100_000
    with pytest.raises(LogicError, match=r"bomb\.sr claims 52428800 bytes of samples; more than 1048576 are refused"):
        srzip.read(file, max_bytes=1 << 20)


def test_a_folder_that_cannot_be_written_to_is_the_hosts_fault(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot write capture"):
        capture_of(1).save(tmp_path / "none" / "x.sr")

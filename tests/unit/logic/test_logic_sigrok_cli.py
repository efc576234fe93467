"""The real sigrok-cli with libsigrok's demo analyzer, and one that behaves badly."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_shepherd_hil.boards import LogicConfig
from pytest_shepherd_hil.errors import HilError, HostError, LogicError
from pytest_shepherd_hil.logic import Capture, LogicAnalyzer
from pytest_shepherd_hil.logic.acquisition import (
    DeviceBusyError,
    DeviceForbiddenError,
    DeviceLostError,
    DeviceMissingError,
    DriverMissingError,
    FirmwareMissingError,
    OverrunError,
    SamplerateError,
)
from pytest_shepherd_hil.logic.sigrok_cli import SigrokCli
from tests.requirements import require


def config(driver: str = "demo", samplerate: int = 1_000_000, *channels: str, conn: str | None = None) -> LogicConfig:
    names = {channel: f"pin_{channel}" for channel in channels or ("D0", "D1")}
    return LogicConfig(driver=driver, samplerate=samplerate, channels=names, conn=conn)


def children() -> list[str]:
    """Our own child processes, zombies too."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = entry.read_text().rsplit(")", 1)
        except OSError:
            continue
        if int(rest.split()[1]) == os.getpid():
            found.append(name.partition("(")[2])
    return found


def read_some(acquisition: SigrokCli, samples: int) -> bytes:
    got = b""
    deadline = time.monotonic() + 10
    while len(got) < samples * acquisition.unitsize and time.monotonic() < deadline:
        got += acquisition.read(0.5)
    return got


@require("sigrok-cli")
def test_a_capture_from_demo() -> None:
    settings = config()
    logic = LogicAnalyzer(settings, "bench", lambda: SigrokCli(settings, "bench"))
    capture = logic.capture(0.2)
    assert (capture.samplerate, capture.channels, len(capture)) == (1_000_000, ("D0", "D1"), 200_000)
    assert capture.names == {"D0": "pin_D0", "D1": "pin_D1"}
    assert len(capture.edges("D0")) > 0
    assert "sigrok-cli" not in children()


@require("sigrok-cli")
@pytest.mark.parametrize(
    ("driver", "channels"),
    [
        ("demo", ["D0", "D1", "D2", "D3"]),
        ("demo", ["D3", "D0", "D2", "D1"]),
        ("demo", ["D3", "D1"]),
        ("demo:logic_channels=12", ["D9", "D1"]),
        ("demo:logic_channels=12", [f"D{number}" for number in range(12)][::-1]),
    ],
)
def test_every_channel_is_what_sigrok_cli_itself_says_of_it(tmp_path: Path, driver: str, channels: list[str]) -> None:
    acquisition = SigrokCli(config(driver, 1_000_000, *channels), "b")
    try:
        samples = read_some(acquisition, 1000)
    finally:
        acquisition.close()
    ours = Capture(1_000_000, acquisition.channels, samples)
    assert acquisition.channels == tuple(channels)
    # demo draws the same picture from the start each time
    file = tmp_path / "theirs.sr"
    options = ["--driver", driver, "--config", "samplerate=1m", "--channels", ",".join(channels), "--samples", "1000"]
    subprocess.run(["sigrok-cli", *options, "-o", str(file)], stdin=subprocess.DEVNULL, timeout=30, check=True)
    theirs = Capture.load(file)
    for channel in channels:
        assert ours.bits(channel)[:1000] == theirs.bits(channel)
    assert len(ours.edges("D1")) > 0


@require("sigrok-cli")
def test_stop_is_quick_and_leaves_no_process() -> None:
    for samplerate in (10_000, 20_000_000):
        acquisition = SigrokCli(config("demo", samplerate), "b")
        read_some(acquisition, 100)
        assert "sigrok-cli" in children()
        began = time.monotonic()
        acquisition.close()
        acquisition.close()
        assert time.monotonic() - began < 1
        assert "sigrok-cli" not in children()


@require("sigrok-cli")
@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (config("nosuch"), "logic analyzer nosuch: this libsigrok has no driver 'nosuch'; sigrok-cli --list-supported"),
        (
            config("fx2lafw", conn="9.9"),
            r"fx2lafw:conn=9\.9: no such device found.*sigrok-firmware-fx2lafw.*No devices",
        ),
        (config("demo", 1_000_000, "D0", "Q7"), "unknown channel 'Q7'.*--show"),
        (config("demo", 1_000_000, "D0", "A0"), "no logic channel 'A0'"),
    ],
    ids=["driver", "device", "channel", "analog channel"],
)
def test_what_can_be_wrong_with_a_device(settings: LogicConfig, why: str) -> None:
    logic = LogicAnalyzer(settings, "bench", lambda: SigrokCli(settings, "bench"))
    with pytest.raises(HilError, match=f"board bench: .*{why}"):
        logic.capture(0.1)
    assert "sigrok-cli" not in children()


def test_sigrok_cli_missing_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"board bench: .*apt-get install sigrok-cli sigrok-firmware-fx2lafw"):
        SigrokCli(config("fx2lafw"), "bench")
    with pytest.raises(HostError, match=r"apt-get install sigrok-cli$"):
        SigrokCli(config("demo"), "bench")


def refusing(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int, show: str = "") -> None:
    """A sigrok-cli that says something and ends; for ``--show`` it says ``show``."""
    (folder / "said").write_text(said)
    (folder / "show").write_text(show)
    program = folder / "sigrok-cli"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *--show*) cat {folder}/show; exit 0;; esac\ncat {folder}/said >&2; exit {code}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


FX2_RATES = """fx2lafw - sigrok FX2 LA (8ch) with 8 channels: D0 D1 D2 D3 D4 D5 D6 D7
Supported configuration options across all channel groups:
    continuous: on, off
    samplerate - supported samplerates:
      20 kHz
      25 kHz
      1 MHz
      24 MHz
    Supported triggers: 0 1 r f e
"""


@pytest.mark.parametrize(
    ("said", "code", "kind", "advice"),
    [
        ("No devices found.", 1, DeviceMissingError, r"lsusb.*sigrok-firmware-fx2lafw"),
        (
            (
                "sr: resource: Failed to locate 'fx2lafw-saleae-logic.fw'.\n"
                "sr: fx2lafw: Firmware upload failed for device 1.5 (logical), name fx2lafw-saleae-logic.fw.\n"
                "No devices found."
            ),
            1,
            FirmwareMissingError,
            r"apt-get install sigrok-firmware-fx2lafw.*Failed to locate",
        ),
        (
            (
                "sr: fx2lafw: Unable to claim USB interface. Another program or driver has already claimed it.\n"
                "Failed to open device."
            ),
            1,
            DeviceBusyError,
            "another program has it; end that",
        ),
        (
            "sr: fx2lafw: Failed to open device: LIBUSB_ERROR_ACCESS.\nNo devices found.",
            1,
            DeviceForbiddenError,
            "usermod -aG plugdev",
        ),
        ("Driver fx2lafw not found.", 1, DriverMissingError, "--list-supported"),
        (
            "Failed to set device option 'samplerate': invalid samplerate.",
            1,
            SamplerateError,
            "does not take 1000000 samples a second; it takes 20 kHz, 25 kHz, 1 MHz, 24 MHz",
        ),
        ("Unknown device option 'bogus'.", 1, LogicError, "--show for the 'options'"),
        ("This device does not support continuous sampling.", 1, LogicError, "cannot stream"),
        ("sr: hm", 7, LogicError, "ended with 7 before it took a sample; it said: sr: hm"),
    ],
    ids=["missing", "firmware", "busy", "forbidden", "driver", "samplerate", "option", "streaming", "else"],
)
def test_each_way_not_to_begin_has_its_error_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, code: int, kind: type[HilError], advice: str
) -> None:
    refusing(tmp_path, monkeypatch, said, code, FX2_RATES)
    with pytest.raises(kind, match=rf"(?s)board bench: logic analyzer fx2lafw.*{advice}") as caught:
        SigrokCli(config("fx2lafw"), "bench")
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("script", "kind", "why"),
    [
        ("echo 'sr: fx2lafw: LIBUSB_ERROR_NO_DEVICE' >&2; exit 1", DeviceLostError, "Was it unplugged"),
        ("exit 0", DeviceLostError, "is no longer there: was it unplugged"),
        ("echo 'sr: saleae-logic16: FIFO overflow, data truncated.' >&2; exit 1", OverrunError, "sample more slowly"),
        (
            'case "$*" in *--scan*) echo "demo - Demo device with 8 channels: D0";; esac; exit 0',
            OverrunError,
            "gave up by itself, though it is still there.*sample more slowly",
        ),
    ],
    ids=["unplugged", "silently unplugged", "overrun", "silently overrun"],
)
def test_each_way_to_stop_has_its_error_and_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[HilError], why: str
) -> None:
    pretender(tmp_path, monkeypatch, script)
    settings = config()
    logic = LogicAnalyzer(settings, "bench", lambda: SigrokCli(settings, "bench"))
    with pytest.raises(kind, match=f"board bench: logic analyzer demo .*{why}"):
        logic.capture(1)


@require("sigrok-cli")
def test_a_rate_that_the_analyzer_does_not_take_names_those_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(tmp_path, monkeypatch, "Failed to set device option 'samplerate': invalid argument.", 1, demo_shown())
    with pytest.raises(SamplerateError, match="it takes 1 Hz - 1 GHz in steps of 1 Hz"):
        SigrokCli(config(), "bench")


def demo_shown() -> str:
    command = ["sigrok-cli", "--driver", "demo", "--show"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=True, text=True)
    return done.stdout


def test_every_setting_of_boards_toml_reaches_sigrok_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretender(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/arguments; read x')
    options: dict[str, str | bool | int | float] = {"averaging": True, "captureratio": 20, "voltage": "0.7-1.4"}
    settings = LogicConfig(
        driver="demo:logic_channels=2", conn="1.12", samplerate=1_000_000, channels={"D1": "x"}, options=options
    )
    acquisition = SigrokCli(settings, "bench")
    deadline = time.monotonic() + 10
    while not (tmp_path / "arguments").exists() and time.monotonic() < deadline:
        acquisition.read(0.05)
    acquisition.close()
    assert (tmp_path / "arguments").read_text().split() == [
        *("--driver", "demo:logic_channels=2:conn=1.12"),
        *("--config", "samplerate=1000000:averaging=on:captureratio=20:voltage=0.7-1.4"),
        *("--channels", "D1", "--continuous", "--output-format", "binary"),
    ]


@require("sigrok-cli")
def test_sigrok_cli_dies_with_us_even_where_we_are_killed() -> None:
    code = """
import os, sys, threading, time
from pytest_shepherd_hil.boards import LogicConfig
from pytest_shepherd_hil.logic.sigrok_cli import SigrokCli

def sample():
    acquisition = SigrokCli(LogicConfig(driver="demo", samplerate=1_000_000, channels={"D0": "x"}), "b")
    acquisition.read(5.0)
    print(acquisition._process.pid, flush=True)
    while True:
        acquisition.read(1.0)

threading.Thread(target=sample).start()
"""
    ours = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert ours.stdout is not None
    try:
        theirs = Path("/proc", ours.stdout.readline().strip())
        assert (theirs / "comm").read_text().strip() == "sigrok-cli"
    finally:
        ours.send_signal(signal.SIGKILL)
        ours.wait(10)
        ours.stdout.close()
    deadline = time.monotonic() + 10
    while lives(theirs) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lives(theirs)


def lives(process: Path) -> bool:
    """Whether it is there and no zombie that nobody has asked after."""
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def pretender(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str, channels: int = 2) -> None:
    """A sigrok-cli whose first run is good, and whose second does ``script``."""
    names = tuple(f"D{number}" for number in range(channels))
    Capture(1_000_000, names, bytes(64 * ((channels + 7) // 8))).save(folder / "good.sr")
    program = folder / "sigrok-cli"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--output-file*) while [ $# -gt 1 ]; do shift; done; '
        f'cp {folder}/good.sr "$1"; exit 0;; esac\n{script}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_an_analyzer_unplugged_in_the_middle_is_told_with_what_sigrok_cli_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretender(tmp_path, monkeypatch, "head -c 5000 /dev/zero; echo 'sr: fx2lafw: usb gone' >&2; exit 1")
    settings = config()
    logic = LogicAnalyzer(settings, "bench", lambda: SigrokCli(settings, "bench"))
    why = r"board bench: .*stopped in the middle: sigrok-cli ended with 1 and said: sr: fx2lafw: usb gone.*got 5000"
    with pytest.raises(LogicError, match=why):
        logic.capture(1)
    snapshot = logic.snapshot()
    assert snapshot is not None
    assert len(snapshot) == 5000
    assert children() == []


def test_units_wider_than_asked_for_are_repacked_also_when_they_come_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = bytes([0b10, 0b010, 0b00, 0b101, 0b10, 0b100])  # D1, D9; D8, D10; D1, D10
    (tmp_path / "units").write_bytes(units)
    script = f"head -c 3 {tmp_path}/units; sleep 0.2; tail -c 3 {tmp_path}/units; read x"
    pretender(tmp_path, monkeypatch, script, channels=12)
    acquisition = SigrokCli(config("demo", 1_000_000, "D10", "D1", "D9"), "bench")
    samples = read_some(acquisition, 3)
    acquisition.close()
    assert samples == bytes([0b110, 0b001, 0b011])


def test_a_killed_sigrok_cli_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretender(tmp_path, monkeypatch, "kill -9 $$")
    acquisition = SigrokCli(config(), "bench")
    with pytest.raises(LogicError, match=r"sigrok-cli was killed by SIGKILL and said: nothing"):
        read_some(acquisition, 1)
    acquisition.close()


def test_one_that_does_not_stop_is_ended_by_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretender(tmp_path, monkeypatch, "trap '' TERM INT; while :; do sleep 0.05; done")
    monkeypatch.setattr(SigrokCli, "STOP_S", 0.3)
    acquisition = SigrokCli(config(), "bench")
    assert acquisition.read(0.2) == b""
    began = time.monotonic()
    acquisition.close()
    assert time.monotonic() - began < 3
    assert children() == []


def test_one_that_brings_no_first_sample_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sigrok-cli"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(SigrokCli, "START_S", 0.3)
    with pytest.raises(LogicError, match=r"gave not one sample within 0\.3 s"):
        SigrokCli(config(), "bench")
    assert children() == []

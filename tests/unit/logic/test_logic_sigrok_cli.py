"""The real sigrok-cli with libsigrok's demo analyzer, and one that behaves badly."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from pytest_shepherd_hil.boards import LogicConfig
from pytest_shepherd_hil.errors import HostError, LogicError
from pytest_shepherd_hil.logic import Capture, LogicAnalyzer
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
    with pytest.raises(LogicError, match=f"board bench: .*{why}"):
        logic.capture(0.1)
    assert "sigrok-cli" not in children()


def test_sigrok_cli_missing_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match=r"board bench: .*apt-get install sigrok-cli sigrok-firmware-fx2lafw"):
        SigrokCli(config("fx2lafw"), "bench")
    with pytest.raises(HostError, match=r"apt-get install sigrok-cli$"):
        SigrokCli(config("demo"), "bench")


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

"""Drivers without sigrok-cli: a replayed file, a probe's socket, hardware plugins of pysigrok; the ring."""

from __future__ import annotations

import os
import time
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_shepherd_hil.boards import LogicConfig, load_boards
from pytest_shepherd_hil.errors import HilError, LogicError, MisuseError
from pytest_shepherd_hil.logic import Capture, LogicAnalyzer
from pytest_shepherd_hil.logic.acquisition import (
    DeviceBusyError,
    DeviceForbiddenError,
    DeviceLostError,
    DeviceMissingError,
    DriverMissingError,
    OverrunError,
    SamplerateError,
)
from pytest_shepherd_hil.logic.drivers import open_analyzer
from pytest_shepherd_hil.logic.port import ChannelPort
from pytest_shepherd_hil.logic.pysigrok_hardware import PysigrokBlock
from tests.requirements import SHARED, require
from tests.unit.logic.probe import Probe
from tests.unit.logic.uart_line import uart_line

LINE = uart_line(b"kernel\n" * 200, 1_000_000 / 115200)


def analyzer(folder: Path, keys: str, more: str = "") -> LogicAnalyzer:
    """The analyzer of a board with these keys in its logic table."""
    path = folder / "boards.toml"
    path.write_text(f"[boards.b.logic]\n{dedent(keys)}\n{more}")
    (board,) = load_boards(path)
    return open_analyzer(board)


# a replayed file


def test_a_replayed_file_comes_out_as_it_was_recorded(tmp_path: Path) -> None:
    recorded = Capture(1_000_000, ("D0",), LINE)
    recorded.save(tmp_path / "recorded.sr")
    logic = analyzer(tmp_path, 'driver = "replay"\nfile = "recorded.sr"')
    found = logic.capture(len(LINE) / 1_000_000)
    assert (found.samplerate, found.channels, found.samples) == (1_000_000, ("D0",), LINE)


def test_it_plays_in_real_time_and_is_over_at_its_end(tmp_path: Path) -> None:
    Capture(10_000, ("D0",), bytes(2000)).save(tmp_path / "recorded.sr")
    logic = analyzer(tmp_path, 'driver = "replay"\nfile = "recorded.sr"')
    began = time.monotonic()
    with pytest.raises(DeviceLostError, match=r"recorded\.sr is over after 0\.2 s; loop = true plays it again"):
        logic.capture(1)
    assert time.monotonic() - began >= 0.2
    held = logic.snapshot()
    assert held is not None
    assert len(held) == 2000


def test_a_loop_goes_on(tmp_path: Path) -> None:
    Capture(10_000, ("D0",), bytes([0] * 30 + [1] * 70)).save(tmp_path / "recorded.sr")
    logic = analyzer(tmp_path, 'driver = "replay"\nfile = "recorded.sr"\nloop = true')
    found = logic.capture(0.1)
    assert found.frequency("D0") == pytest.approx(100)
    assert found.duty("D0") == pytest.approx(0.7)


def test_it_is_played_with_the_channels_of_boards_toml(tmp_path: Path) -> None:
    Capture(10_000, ("D0", "D1", "D2"), bytes([0b100] * 2000)).save(tmp_path / "recorded.sr")
    logic = analyzer(tmp_path, 'driver = "replay"\nfile = "recorded.sr"\nchannels = { D2 = "sync", D0 = "uart_tx" }')
    found = logic.capture(0.1)
    assert (found.channels, set(found.samples)) == (("D2", "D0"), {0b01})
    other = analyzer(tmp_path, 'driver = "replay"\nfile = "recorded.sr"\nchannels = { D7 = "x" }')
    with pytest.raises(LogicError, match=r"board b: replay of .*: it has no channel 'D7', but D0, D1, D2"):
        other.capture(0.1)


def test_a_replay_can_be_a_console(tmp_path: Path) -> None:
    Capture(1_000_000, ("D0",), LINE).save(tmp_path / "recorded.sr")
    port = ChannelPort(analyzer(tmp_path, 'driver = "replay"\nfile = "recorded.sr"'), "D0", 115200, board="b")
    heard = b""
    while len(heard) < 1400:
        heard += port.read(1.0)
    assert heard == b"kernel\n" * 200
    with pytest.raises(HilError, match="is over after"):
        port.read(1.0)
    port.close()


@require("shared")
def test_every_recording_can_be_replayed(tmp_path: Path) -> None:
    for path in sorted((SHARED / "captures").glob("*.sr")):
        recorded = Capture.load(path)
        seconds = min(0.1, recorded.duration_s / 2)
        found = analyzer(tmp_path, f'driver = "replay"\nfile = "{path}"').capture(seconds)
        assert (found.samplerate, found.channels) == (recorded.samplerate, recorded.channels)
        assert recorded.samples.startswith(found.samples)


def test_a_file_that_cannot_be_replayed_is_told(tmp_path: Path) -> None:
    with pytest.raises(LogicError, match=r"cannot read .*none\.sr: No such file"):
        analyzer(tmp_path, 'driver = "replay"\nfile = "none.sr"').capture(1)


# a probe's socket


def test_a_probe_is_reached_by_the_path_of_its_socket(tmp_path: Path) -> None:
    probe = Probe(tmp_path / "probe")
    try:
        logic = analyzer(
            tmp_path, f'driver = "probe"\nconn = "{probe.path}"\nchannels = {{ D0 = "uart_tx", D1 = "sync" }}'
        )
        assert "kernel\nkernel\n" in logic.capture(0.02).uart("uart_tx").text
    finally:
        probe.close()
    with pytest.raises(DeviceMissingError, match=r"board b: probe .*/none cannot be opened: No such file"):
        analyzer(tmp_path, f'driver = "probe"\nconn = "{tmp_path}/none"').capture(1)


# the ring


def test_the_ring_is_as_large_as_boards_toml_says(tmp_path: Path) -> None:
    Capture(1_000_000, ("D0",), bytes(1_000_000)).save(tmp_path / "recorded.sr")
    replay = 'driver = "replay"\nfile = "recorded.sr"\nloop = true\n'
    for key, most in (("ring_s = 2", r"1 MiB held in memory; capture 2 s at most"), ("ring_mb = 4", "4 MiB held")):
        with pytest.raises(MisuseError, match=rf"{most}.*ring_mb or ring_s in \[boards\.b\.logic\]"):
            analyzer(tmp_path, replay + key).capture(10)


def test_one_that_runs_all_the_time_has_what_was_before_and_is_shared(tmp_path: Path) -> None:
    probe = Probe(tmp_path / "probe")
    logic = analyzer(tmp_path, f'driver = "probe"\nconn = "{probe.path}"\nchannels = {{ D0 = "t", D1 = "s" }}')
    try:
        logic.keep_running()
        later = logic.capture(0.05)
        logic.forget()
        held = logic.snapshot()
        assert held is not None
        assert held.first_sample == 0
        assert len(held) >= later.first_sample + len(later)
        assert len(probe.asked) == 1
    finally:
        logic.close()
        probe.close()
    assert logic.snapshot() is not None


def test_one_that_cannot_run_is_said_once_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LogicAnalyzer, "RETRY_S", 0.0)
    logic = analyzer(
        tmp_path, f'driver = "probe"\nconn = "{tmp_path}/probe"\nchannels = {{ D0 = "uart_tx", D1 = "sync" }}'
    )
    said: list[str] = []
    logic.keep_running(said.append)
    deadline = time.monotonic() + 10
    while not said and time.monotonic() < deadline:
        logic.forget()
    logic.forget()
    (line,) = said
    assert "b: nothing is recorded of its logic analyzer: probe" in line
    probe = Probe(tmp_path / "probe")
    try:
        while logic.snapshot() is None and time.monotonic() < deadline:
            logic.forget()
            time.sleep(0.01)
        assert logic.snapshot() is not None
    finally:
        logic.close()
        probe.close()
    assert len(said) == 1


def test_one_that_another_user_has_brought_back_is_kept_running_without_a_word(tmp_path: Path) -> None:
    probe = Probe(tmp_path / "probe")
    logic = analyzer(tmp_path, f'driver = "probe"\nconn = "{probe.path}"\nchannels = {{ D0 = "t", D1 = "s" }}')
    said: list[str] = []
    try:
        logic.keep_running(said.append)
        logic.capture(0.01)
        probe.hang_up.set()
        with pytest.raises(DeviceLostError):
            logic.capture(30)
        probe.hang_up.clear()
        with logic.following():
            logic.forget()
        assert len(probe.asked) == 2
        logic.capture(0.01)
        assert len(probe.asked) == 2
        assert said == []
    finally:
        logic.close()
        probe.close()


# pysigrok's hardware plugins

PLUGIN = '''
import os, sys, time
from sigrokdecode import OUTPUT_PYTHON
from sigrokdecode.input import Input

class Toy(Input):
    """A device with three channels that count upwards, eight samples a step."""
    name = "toy-analyzer"
    longname = "Toy"
    samplerates = [100_000, 1_000_000]

    def __init__(self, channellist=None, conn="", samplerate="100000", trouble=""):
        super().__init__()
        print("hello from the toy")
        if trouble:
            exec(trouble)
        open(conn).close()
        self.samplerate = int(samplerate)
        self.logic_channels = [each for each in ("GP0", "GP1", "GP2") if each in channellist.split(",")]
        self.analog_channels = []

    def acquire(self, count, triggers={}, pretrigger_data=True):
        self.left = count
        self.at = 0

    def wait(self, conds=[]):
        if self.at >= self.left:
            raise EOFError()
        end = min(self.at + 8, self.left)
        value = self.at // 8 % 8
        wanted = [number for number in range(3) if f"GP{number}" in self.logic_channels]
        packed = sum((value >> number & 1) << bit for bit, number in enumerate(wanted))
        self.put(self.at, end, OUTPUT_PYTHON, ["logic", packed])
        self.at = end
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The plugin, installed, as the keys of a logic table; its device is a file."""
    site = tmp_path / "site"
    info = site / "pysigrok_toy-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "pysigrok_toy.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pysigrok-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pysigrok.hardware]\ntoy_entry = pysigrok_toy:Toy\n")
    (tmp_path / "device").touch()
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=os.pathsep)
    return (
        f'driver = "pysigrok:toy-analyzer"\nconn = "{tmp_path}/device"\nsamplerate = "1 MHz"\n'
        'channels = { GP2 = "a", GP0 = "b" }'
    )


def test_a_plugin_is_found_by_its_drivers_name_and_brings_as_many_samples_as_asked_for(
    tmp_path: Path, toy: str
) -> None:
    logic = analyzer(tmp_path, toy)
    found = logic.capture(0.001)
    assert (found.samplerate, found.channels, len(found)) == (1_000_000, ("GP2", "GP0"), 1000)
    assert found.samples[:64] == b"".join(bytes([value >> 2 | (value & 1) << 1]) * 8 for value in range(8))
    assert found.names == {"GP2": "a", "GP0": "b"}
    assert len(logic.capture(0.002)) == 2000


def test_a_plugin_takes_blocks_and_cannot_be_recorded_or_be_a_console(tmp_path: Path, toy: str) -> None:
    logic = analyzer(tmp_path, toy)
    logic.keep_running()
    assert logic.snapshot() is None
    with pytest.raises(MisuseError, match="takes one block of samples at a time: use"), logic.recording():
        pass
    with pytest.raises(HilError, match="in which a console would be lost; it takes an analyzer that streams"):
        analyzer(tmp_path, toy, '[boards.b.console]\nlogic = "GP0"\n')


@pytest.mark.parametrize(
    ("keys", "kind", "why"),
    [
        ({"driver": "pysigrok:other"}, DriverMissingError, "none of that name; installed: toy-analyzer; pip install"),
        ({"conn": "/nowhere"}, DeviceMissingError, "at /nowhere: FileNotFoundError.*is it plugged in"),
        ({"samplerate": 123_000}, SamplerateError, "123000 Hz: it takes 100000, 1000000; correct 'samplerate'"),
        ({"options": {"bogus": 1}}, LogicError, "unexpected keyword argument 'bogus'.*does 'options' have"),
        ({"options": {"trouble": "raise OSError(16, 'busy')"}}, DeviceBusyError, "end the other program"),
        ({"options": {"trouble": "raise OSError(13, 'denied')"}}, DeviceForbiddenError, "usermod -aG dialout"),
        ({"options": {"trouble": "raise OSError(5, 'gone')"}}, DeviceLostError, "was it unplugged"),
        ({"options": {"trouble": "raise RuntimeError('Missed some bytes.')"}}, OverrunError, "sample more slowly"),
        ({"options": {"trouble": "os._exit(3)"}}, LogicError, "without a word of sense.*It said: hello from the toy"),
    ],
    ids=["plugin", "device", "samplerate", "option", "busy", "forbidden", "unplugged", "overrun", "crash"],
)
def test_each_way_for_a_plugin_to_fail_has_its_error_and_says_what_to_do(
    tmp_path: Path, toy: str, keys: dict[str, object], kind: type[HilError], why: str
) -> None:
    given = {
        "driver": "pysigrok:toy-analyzer",
        "conn": f"{tmp_path}/device",
        "samplerate": 1_000_000,
        "channels": {"GP0": "x"},
    }
    settings = LogicConfig.model_validate({**given, **keys})
    with pytest.raises(kind, match=f"board b: logic analyzer {settings.driver}.*{why}") as caught:
        PysigrokBlock(settings, "b", 100)
    assert type(caught.value) is kind


def test_a_plugin_that_hangs_is_ended(tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PysigrokBlock, "START_S", 1.5)
    pid = tmp_path / "pid"
    trouble = f"open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(100)"
    logic = analyzer(tmp_path, f'{toy}\noptions = {{ trouble = "{trouble}" }}')
    with pytest.raises(LogicError, match=r"brought nothing within 1\.5\d* s; .* It said: hello from the toy"):
        logic.capture(0.001)
    assert not Path("/proc", pid.read_text()).exists()

"""VCD out, Saleae's CSV in; sigrok-cli reads what was written."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.errors import HostError, LogicError
from pytest_shepherd_hil.logic import Capture
from pytest_shepherd_hil.logic.saleae import read_csv
from tests.requirements import require
from tests.sigrok import read_by_sigrok_cli
from tests.unit.logic.uart_line import uart_line

if TYPE_CHECKING:
    from pathlib import Path


def busy(channels: int, samples: int, samplerate: int) -> Capture:
    """Levels that change now and then, so that a time without a change is written too."""
    source = random.Random(channels)
    unitsize = (channels + 7) // 8
    unit, units = source.getrandbits(channels), []
    for _ in range(samples):
        if source.random() < 0.3:
            unit ^= 1 << source.randrange(channels)
        units.append(unit.to_bytes(unitsize, "little"))
    return Capture(samplerate, tuple(f"D{number}" for number in range(channels)), b"".join(units))


def levels_of(vcd: str) -> tuple[dict[str, list[tuple[int, int]]], int]:
    """Each signal's changes as ``(time, level)``, and the last time: a reader that knows nothing of the writer."""
    names: dict[str, str] = {}
    changes: dict[str, list[tuple[int, int]]] = {}
    time = 0
    for line in vcd.splitlines():
        if line.startswith("$var"):
            _, kind, width, identifier, name, end = line.split()
            assert (kind, width, end) == ("wire", "1", "$end")
            names[identifier], changes[name] = name, []
        elif line.startswith("#"):
            assert int(line[1:]) >= time
            time = int(line[1:])
        elif line[:1] in ("0", "1"):
            changes[names[line[1:]]].append((time, int(line[0])))
    return changes, time


@pytest.mark.parametrize(
    ("samplerate", "timescale", "ticks"),
    [
        (1_000_000, "1 us", 1),
        (24_000_000, "1 fs", 10**15 / 24_000_000),
        (4_000_000, "10 ns", 25),
        (625_000, "100 ns", 16),
        (9600, "1 fs", 10**15 / 9600),
        (1000, "1 ms", 1),
    ],
)
def test_vcd_has_every_change_at_its_time(tmp_path: Path, samplerate: int, timescale: str, ticks: float) -> None:
    capture = busy(17, 800, samplerate)
    capture.save_vcd(tmp_path / "x.vcd")
    text = (tmp_path / "x.vcd").read_text()
    assert f"$timescale {timescale} $end" in text
    changes, last = levels_of(text)
    assert last == round(800 * ticks)
    for name in capture.channels:
        bits = capture.bits(name)
        expected = [(0, bits[0]), *((round(edge * ticks), bits[edge]) for edge in capture.edges(name).tolist())]
        assert changes[name] == expected
    assert [path.name for path in tmp_path.iterdir()] == ["x.vcd"]


@require("sigrok-cli")
@pytest.mark.parametrize(("samplerate", "downsample"), [(1_000_000, 1), (4_000_000, 25), (625_000, 16), (1000, 1)])
@pytest.mark.parametrize("channels", [1, 8, 9, 20])
def test_sigrok_cli_reads_every_sample_of_a_vcd(
    tmp_path: Path, samplerate: int, downsample: int, channels: int
) -> None:
    capture = busy(channels, 1000, samplerate)
    file = tmp_path / "x.vcd"
    capture.save_vcd(file)
    raw = read_by_sigrok_cli(file, "-I", f"vcd:downsample={downsample}")
    meta, _, read = raw.partition(b"\n")
    assert meta == b"META samplerate: %d" % samplerate
    assert read == capture.samples


def test_vcd_signals_have_the_boards_names_without_white_space(tmp_path: Path) -> None:
    Capture(1000, ("D0", "D1", "D2"), bytes(3), {"D0": "uart tx", "D2": "D1"}).save_vcd(tmp_path / "x.vcd")
    assert list(levels_of((tmp_path / "x.vcd").read_text())[0]) == ["uart_tx", "D1", "D1_2"]


def test_a_vcd_that_cannot_be_written_is_the_hosts_fault(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot write"):
        busy(1, 10, 1000).save_vcd(tmp_path / "none" / "x.vcd")


def export(path: Path, capture: Capture, *, digits: int = 9, start_s: float = 0.0) -> Path:
    """What Saleae's Logic writes of a capture: a line for each sample at which a level changes."""
    lines = ["Time [s]," + ",".join(capture.channels)]
    before = None
    for number in range(len(capture)):
        unit = int.from_bytes(capture.samples[number * capture.unitsize : (number + 1) * capture.unitsize], "little")
        if unit != before:
            levels = ",".join(str(unit >> bit & 1) for bit in range(len(capture.channels)))
            lines.append(f"{start_s + number / capture.samplerate:.{digits}f},{levels}")
            before = unit
    path.write_text("\n".join(lines) + "\n")
    return path


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000), samplerate=st.sampled_from([1_000_000, 4_000_000, 12_500_000, 24_000_000, 500_000_000])
)
def test_a_saleae_export_comes_back_sample_for_sample(
    tmp_path_factory: pytest.TempPathFactory, seed: int, samplerate: int
) -> None:
    capture = busy(1 + seed % 16, 500, samplerate)
    file = export(tmp_path_factory.mktemp("csv") / "digital.csv", capture, start_s=-50 / samplerate)
    loaded = Capture.load(file)
    assert loaded.samplerate == samplerate
    assert loaded.channels == capture.channels
    ours = loaded.samples[: len(capture.samples)]
    assert ours == capture.samples[: len(ours)]
    assert len(capture) - len(loaded) < 40


def test_the_text_in_a_saleae_export(tmp_path: Path) -> None:
    line = uart_line(b"hello from the other analyzer\n", 50_000_000 / 115200)
    capture = Capture(50_000_000, ("Channel 0",), line)
    loaded = Capture.load(export(tmp_path / "digital.csv", capture, start_s=-0.001))
    assert loaded.uart("Channel 0").text == "hello from the other analyzer\n"
    assert loaded.notes == ("the file does not say how long the last levels lasted",)


def test_a_saleae_export_with_dates_and_names(tmp_path: Path) -> None:
    file = tmp_path / "digital.csv"
    file.write_text(
        "Time[s], uart, uart\n2026-01-02T03:04:05.000000000+00:00,1,0\n2026-01-02T03:04:05.999999000+00:00,0,0\n"
        "2026-01-02T03:04:06.000003000+00:00,1,1\n"
    )
    loaded = Capture.load(file)
    assert (loaded.channels, loaded.samplerate) == (("uart", "uart#1"), 1_000_000)
    assert loaded.edges("uart").tolist() == [999_999, 1_000_003]


def test_a_long_saleae_export_takes_fewer_samples_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "digital.csv"
    file.write_text("Time [s],D0\n0,1\n100.000000002,0\n200.000000004,1\n")
    loaded = Capture.load(file)
    assert len(loaded) < 1 << 28
    assert "times rounded to a samplerate of 1250000 Hz" in loaded.notes[1]
    assert loaded.edges("D0").tolist() == [125_000_000, 250_000_000]
    assert read_csv(file, samplerate=1000).samples.count(0) == 100_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "its first line is not 'Time"),
        ("a,b\n1,2\n", "its first line is not 'Time .*' but 'a,b'"),
        ("Time [s],D0\n", "there is nothing below its first line"),
        ("Time [s],D0\n0.1,1\n0.2,2\n", r"line 3: '0\.2,2' is not a time"),
        ("Time [s],D0\n0.1,1\n0.05,0\n", r"line 3: '0\.05,0' is not a time after the last"),
        ("Time [s],D0\n0.1,1,1\n", "line 2: "),
        ("Time [s],D0\nnan,1\n", "line 2: "),
        ("Time [s],D0\n1e400,1\n", "line 2: "),
        ("Time [s],D0\n\x1b[2J,1\n", "line 2: ',1'"),
        ("Time [s]" + ",D" * 65 + "\n", "claims 65 channels"),
        ("Time [s],D0\n0,1\n90000000,0\n", "lasts 9e.07 s, more than"),
    ],
)
def test_what_is_no_export_is_said(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "digital.csv"
    file.write_text(text)
    with pytest.raises(LogicError, match=why) as caught:
        Capture.load(file)
    assert str(file) in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_csv_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(LogicError, match=r"cannot read .*none\.csv"):
        Capture.load(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"Time [s],D0\n\xff\xfe\n")
    with pytest.raises(LogicError, match="is not an export of Saleae Logic"):
        Capture.load(tmp_path / "x.csv")

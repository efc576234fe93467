"""A channel of the analyzer as a console, over the embedded board's kind of probe: samples in real time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.boards import LogicConfig
from pytest_shepherd_hil.console.port import PortLostError
from pytest_shepherd_hil.errors import ConsoleError, LogicError
from pytest_shepherd_hil.logic import LogicAnalyzer
from pytest_shepherd_hil.logic.port import ChannelPort

if TYPE_CHECKING:
    from pytest_shepherd_hil.console.port import Port
    from tests.unit.logic.probe import Probe


def read_lines(port: Port, count: int) -> bytes:
    data, deadline = b"", time.monotonic() + 20
    while data.count(b"\n") < count:
        assert time.monotonic() < deadline, data
        data += port.read(1.0)
    return data


@pytest.mark.parametrize("channel", ["D0", "uart_tx"])
def test_a_channel_says_what_the_uart_says(logic: LogicAnalyzer, probe: Probe, channel: str) -> None:
    port = ChannelPort(logic, channel, 115200, board="sim01")
    assert read_lines(port, 50).startswith(b"kernel\n" * 50)
    assert (port.lost_samples, port.framing_errors, port.glitches) == (0, 0, 0)
    port.close()
    port.close()
    assert probe.open == []


def test_captures_are_made_of_the_same_samples_meanwhile(logic: LogicAnalyzer, probe: Probe) -> None:
    port = ChannelPort(logic, "D0", 115200, board="sim01")
    read_lines(port, 5)
    assert "kernel\nkernel\n" in logic.capture(0.02).uart("uart_tx").text
    with logic.recording() as recording:
        read_lines(port, 20)
    assert recording.capture.uart("D0").text.count("kernel\n") >= 15
    assert len(probe.asked) == 1
    port.close()


def test_silence_ends_with_the_time_out(logic: LogicAnalyzer, probe: Probe) -> None:
    port = ChannelPort(logic, "sync", 115200, board="sim01")  # a line that never says anything
    assert port.read(0.05) == b""
    port.close()


def test_a_waiting_read_is_woken(logic: LogicAnalyzer, probe: Probe) -> None:
    port = ChannelPort(logic, "sync", 115200, board="sim01")
    threading.Timer(0.1, port.cancel).start()
    began = time.monotonic()
    assert port.read(60) == b""
    assert time.monotonic() - began < 30
    port.close()


def test_an_analyzer_that_goes_away_is_a_lost_port(logic: LogicAnalyzer, probe: Probe) -> None:
    port = ChannelPort(logic, "D0", 115200, board="sim01")
    read_lines(port, 3)
    probe.hang_up.set()
    with pytest.raises(PortLostError, match=r"board sim01: console on logic channel D0 is gone: .*probe"):
        read_lines(port, 1_000_000)
    port.close()
    probe.hang_up.clear()
    again = ChannelPort(logic, "D0", 115200, board="sim01")
    read_lines(again, 3)
    again.close()


def test_a_wrong_rate_is_seen_and_the_right_one_measured(logic: LogicAnalyzer) -> None:
    port = ChannelPort(logic, "D0", 57600, board="sim01")
    deadline = time.monotonic() + 20
    while port.framing_errors < 20:
        assert time.monotonic() < deadline
        port.read(0.5)
    found = port.guess()
    assert (found.baudrate, found.parity, found.doubt) == (115200, "none", None)
    assert "kernel" in found.text
    port.close()
    quiet = ChannelPort(logic, "sync", 115200, board="sim01")
    with pytest.raises(LogicError, match="board sim01: logic channel sync stays low"):
        quiet.guess()
    quiet.close()


def test_it_is_read_only(logic: LogicAnalyzer) -> None:
    port = ChannelPort(logic, "D0", 115200, board="sim01")
    with pytest.raises(ConsoleError, match=r"D0 is read only; .* cannot send b'reboot"):
        port.write(b"reboot\n")
    with pytest.raises(ConsoleError, match="read only"):
        port.send_break()
    port.close()


def test_what_cannot_be_a_console_is_told_and_leaves_nothing_open(logic: LogicAnalyzer, probe: Probe) -> None:
    with pytest.raises(LogicError, match=r"no channel 'uart_rx' for the console; .* D0 \(uart_tx\), D1"):
        ChannelPort(logic, "uart_rx", 115200, board="sim01")
    with pytest.raises(LogicError, match=r"board sim01: console on logic channel D0: .* only 1\.1 samples a bit"):
        ChannelPort(logic, "D0", 921600, board="sim01")
    assert probe.open == []


def test_samples_that_nobody_read_in_time_are_counted_and_the_text_goes_on(probe: Probe) -> None:
    config = LogicConfig(driver="sim", samplerate=1_000_000, channels={"D0": "uart_tx"})
    analyzer = LogicAnalyzer(config, "sim01", probe.connect, max_bytes=20_000)
    port = ChannelPort(analyzer, "D0", 115200, board="sim01")
    read_lines(port, 3)
    with analyzer.following() as follower:
        for _ in range(40):  # a tenth of a second, five times what is held
            follower.take(0.0025, 5.0)
    text = read_lines(port, 100)
    assert port.lost_samples > 0
    assert port.overrun_s == pytest.approx(port.lost_samples / 1_000_000)
    assert b"kernel\n" * 50 in text
    port.close()
    analyzer.close()

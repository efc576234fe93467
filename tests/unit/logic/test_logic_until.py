"""``logic.capture(until=…)``: samples up to the moment at which something is so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import LogicError, MisuseError
from pytest_shepherd_hil.logic import LogicAnalyzer
from tests.unit.logic.probe import CONFIG, LINE, Probe

if TYPE_CHECKING:
    from pytest_shepherd_hil.logic import Capture


def test_until_the_console_has_said_something(logic: LogicAnalyzer, probe: Probe) -> None:
    found = logic.capture(until=lambda cap: cap.uart("uart_tx").text.count("kernel\n") >= 30)
    assert found.uart("uart_tx").text.count("kernel\n") >= 30
    assert len(found) < 40 * len(LINE) + 500_000
    assert probe.open == []


def test_it_may_go_on_for_a_while(logic: LogicAnalyzer) -> None:
    seen: list[int] = []

    def enough(cap: Capture) -> bool:
        seen.append(len(cap))
        return len(cap.edges("D0")) > 100

    found = logic.capture(until=enough, after_s=0.05)
    assert len(found) == seen[-1] + 50_000
    assert seen == sorted(seen)


def test_it_begins_with_the_call_also_within_a_recording(logic: LogicAnalyzer) -> None:
    with logic.recording() as recording:
        first = logic.capture(until=lambda cap: len(cap) > 1000)
        second = logic.capture(until=lambda cap: len(cap) > 1000)
    assert first.first_sample < first.first_sample + len(first) <= second.first_sample
    whole = recording.capture
    at = second.first_sample - whole.first_sample
    assert whole.samples[at : at + len(second)] == second.samples


def test_what_is_never_so_ends_in_time_and_says_what_the_channels_did(logic: LogicAnalyzer, probe: Probe) -> None:
    with pytest.raises(LogicError) as caught:
        logic.capture(until=lambda cap: len(cap.edges("sync")) > 0, timeout_s=0.1)
    said = str(caught.value)
    assert said.startswith("board sim01: logic.capture(until=…): within 0.1 s it was not so; in 0.1 s: uart_tx: ")
    assert said.endswith("; sync: still (low) all the time")
    assert probe.open == []


def test_samples_that_stop_coming(logic: LogicAnalyzer, probe: Probe) -> None:
    probe.limit = 20_000
    with pytest.raises(LogicError, match=r"samples stopped coming before it was so; in 20 ms: "):
        logic.capture(until=lambda cap: len(cap) > 30_000, timeout_s=60)
    with pytest.raises(LogicError, match=r"it was so, but then no more samples came"):
        logic.capture(until=lambda cap: len(cap) == 20_000, after_s=1)


def test_an_analyzer_that_goes_away_says_so(logic: LogicAnalyzer, probe: Probe) -> None:
    probe.hang_up.set()
    with pytest.raises(LogicError, match=r"closed the connection"):
        logic.capture(until=lambda cap: len(cap) < 0)


def test_what_the_function_raises_comes_out(logic: LogicAnalyzer, probe: Probe) -> None:
    with pytest.raises(LogicError, match="no channel 'snyc' in this capture"):
        logic.capture(until=lambda cap: cap.frequency("snyc") > 9)
    with pytest.raises(ZeroDivisionError):
        logic.capture(until=lambda cap: len(cap) / 0)
    assert probe.open == []


def test_a_slow_function_is_not_asked_all_the_time(logic: LogicAnalyzer) -> None:
    asked: list[float] = []

    def slow(cap: Capture) -> bool:
        time.sleep(0.03)
        asked.append(cap.duration_s)
        return cap.duration_s > 0.3

    logic.capture(until=slow)
    assert len(asked) <= 8


def test_a_small_memory_holds_the_newest(probe: Probe) -> None:
    logic = LogicAnalyzer(CONFIG, "sim01", probe.connect, max_bytes=50_000)
    found = logic.capture(until=lambda cap: cap.first_sample > 100_000)
    assert 0 < len(found) <= 60_000
    logic.close()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "give either seconds=… or until=…"),
        ({"seconds": 1, "until": bool}, "give either seconds=… or until=…"),
        ({"until": "login:"}, r"until='login:'\): give a function that is asked with the capture so far, such as"),
        ({"until": bool, "timeout_s": 0}, r"timeout_s=0, after_s=0\.0\): give seconds"),
        ({"until": bool, "timeout_s": float("nan")}, "give seconds"),
        ({"until": bool, "after_s": -1}, "give seconds"),
    ],
)
def test_what_nobody_can_wait_for_is_misuse(
    logic: LogicAnalyzer, probe: Probe, arguments: dict[str, object], why: str
) -> None:
    with pytest.raises(MisuseError, match=why):
        logic.capture(**arguments)  # type: ignore[arg-type]
    assert probe.asked == []

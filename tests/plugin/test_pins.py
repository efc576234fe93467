"""What a failed test shows of the board's pins."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.logic import Capture
from tests.requirements import require
from tests.sigrok import read_by_sigrok_cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.suite import Suite

RECORDED = """
    import time
    def test_unload(shell, kernel_module, logic):
        kernel_module.load()
        with logic.recording():
            time.sleep(0.8)
            shell.run("modprobe -rf shepherd", timeout_s=500)
"""
NOT_ALL_THE_TIME = """
[boards.b.sim]
fault = "racy"
[boards.b.logic]
driver = "sim"
samplerate = "1 MHz"
channels = { D0 = "uart_tx", D1 = "sync" }
continuous = false
[boards.b.module]
name = "shepherd"
"""
TIED = "samples and console are tied by the decoded text of uart_tx (D0), to within 8.7 µs"


def sync_words(text: str) -> str:
    (words,) = set(re.findall(r"^ +(sync \(D1\): .*)$", text, re.MULTILINE))
    return str(words)


@require("sigrok-cli")
def test_a_failed_test_shows_what_the_sync_line_did_when_the_kernel_died(suite: Suite) -> None:
    result = suite.run(RECORDED, board="sim-racy")
    result.assert_outcomes(failed=1)
    said = result.stdout.str()
    assert re.search(rf"^  capture   capture\.sr, .* at 1 MHz; {re.escape(TIED)}$", said, re.MULTILINE)
    words = sync_words(said)
    began = r"(still \(low\) until \S+ m?s before the incident, then )?"  # the module may have been loaded only then
    assert re.fullmatch(
        rf"sync \(D1\): {began}10\.0 Hz until \S+ m?s before the incident, then still \((low|high)\)", words
    ), words
    folder = suite.evidence["test_unload"]
    assert sync_words((folder / "incident.txt").read_text()) == words
    assert words in json.loads((folder / "incident.json").read_text())["capture"]
    kept = Capture.load(folder / "capture.sr")
    oops = kept.at_console_line("Internal error: Oops: 5")
    last_edge_s = int(kept.edges("sync")[-1]) / kept.samplerate
    assert last_edge_s < oops.start_s < kept.duration_s
    assert kept.frequency("sync") == pytest.approx(10, rel=0.02)
    raw = read_by_sigrok_cli(folder / "capture.sr")
    assert raw == kept.samples
    assert_shows_the_crash(folder / "capture.svg")


def assert_shows_the_crash(picture: Path) -> None:
    svg = picture.read_text()
    texts = [element.text or "" for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("incident: first line") == 2
    assert {"sync (D1)", "uart_tx (D0)"} <= set(texts)
    assert any(text.startswith("Unable to handle kernel NULL pointer") for text in texts)
    assert "then still (" in svg
    assert len(svg) < 200_000


def test_a_capture_that_ended_before_the_crash_says_so(suite: Suite) -> None:
    suite.boards(NOT_ALL_THE_TIME)
    result = suite.run(
        """
        import time
        def test_unload(shell, kernel_module, logic):
            kernel_module.load()
            logic.capture(seconds=0.3)
            time.sleep(1)
            shell.run("modprobe -rf shepherd", timeout_s=500)
        """,
        board="b",
    )
    result.assert_outcomes(failed=1)
    assert re.search(r"capture\.sr, 0\.3\d? s at 1 MHz, ends \S+ s before the incident; ", result.stdout.str())


def test_a_board_without_an_analyzer_has_no_capture(suite: Suite) -> None:
    suite.boards('[boards.bare.sim]\nfault = "racy"\n[boards.bare.module]\nname = "shepherd"\n')
    result = suite.run(
        """
        def test_unload(shell, kernel_module):
            kernel_module.load()
            shell.run("modprobe -rf shepherd", timeout_s=500)
        """,
        board="bare",
    )
    result.assert_outcomes(failed=1)
    assert not {"capture.sr", "capture.svg"} & {path.name for path in suite.evidence["test_unload"].iterdir()}
    assert "  capture   " not in result.stdout.str()


def test_a_capture_has_what_was_said_at_the_very_end_of_a_test(suite: Suite) -> None:
    result = suite.run(
        """
        import time
        def test_it(board):
            time.sleep(0.5)
            board.hardware.printk("shprd.k: mem corruption?")
        """
    )
    result.assert_outcomes(failed=1)
    assert re.search(r"^  capture   capture\.sr, \S+ m?s at 1 MHz; samples and", result.stdout.str(), re.MULTILINE)
    assert "mem corruption?" in Capture.load(suite.evidence["test_it"] / "capture.sr").uart("uart_tx").text


def test_a_test_captures_until_the_console_says_something(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        def test_load(shell, console, kernel_module, logic):
            with logic.recording() as recording:
                kernel_module.load()
                found = logic.capture(until=lambda cap: len(cap.edges("sync")) >= 6, after_s=0.05)
                console.expect("init shepherd module")
            assert found.frequency("sync") == pytest.approx(10, rel=1e-3)
            line = next(line for line in console.lines() if "init shepherd module" in line.text)
            at = recording.capture.time_line(console.lines()).at(line)
            assert at.tied == "decoded text"
            assert recording.capture.at_console_line(line).start_sample == at.start_sample
        """
    )
    result.assert_outcomes(passed=1)

"""The logic analyzer runs all the time: what it saw before a crash is there; where it cannot run, tests still do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.logic import Capture
from tests.plugin.conftest import bench_toml
from tests.requirements import require

if TYPE_CHECKING:
    from pytest_shepherd_hil.sim.process import SimProcess
    from tests.suite import Suite

CRASH = """
def test_crashes(board, shell):
    shell.run("sleep 0.3; echo '<4>the moment before' > /dev/kmsg")
    board.hardware.panic()
    shell.run("sleep 60", timeout_s=70)
"""


def test_the_evidence_of_a_crash_has_what_the_pins_did_before_it(suite: Suite) -> None:
    result = suite.run(CRASH)
    result.assert_outcomes(failed=1)
    text = Capture.load(suite.evidence["test_crashes"] / "capture.sr").uart("uart_tx").text
    assert text.index("the moment before") < text.index("Kernel panic")


def test_it_need_not_run_all_the_time(suite: Suite) -> None:
    toml = '[boards.b]\n[boards.b.sim]\n[boards.b.logic]\ndriver = "sim"\ncontinuous = false\n'
    suite.boards(toml)
    result = suite.run(CRASH, then="def test_next(logic): assert len(logic.capture(0.01)) == 10_000\n", board="b")
    result.assert_outcomes(failed=1, passed=1)
    assert not (suite.evidence["test_crashes"] / "capture.sr").exists()


@require("sigrok-cli")
def test_an_analyzer_that_is_not_there_is_said_once_and_fails_only_who_asks_for_it(
    suite: Suite, bench: SimProcess
) -> None:
    suite.boards(bench_toml(bench) + '[boards.bench.logic]\ndriver = "fx2lafw"\nconn = "9.9"\n')
    result = suite.run(
        """
        import pytest, time
        @pytest.mark.parametrize("number", range(3))
        def test_without(shell, board, number):
            shell.run("true")
            deadline = time.monotonic() + 20
            while not board.logic._kept.ended and time.monotonic() < deadline:
                time.sleep(0.01)
        def test_with(logic): logic.capture(0.1)
        """,
        board="bench",
    )
    result.assert_outcomes(passed=3, failed=1)
    lines = [line for line in result.outlines if line.startswith("hil: bench: nothing is recorded")]
    assert len(lines) == 1
    assert "of its logic analyzer: logic analyzer fx2lafw:conn=9.9: no such device found" in lines[0]
    result.stdout.fnmatch_lines(["E *DeviceMissingError: board bench: *no such device found*"])


def test_where_a_board_has_both_consoles_a_test_can_assert_that_they_agree(suite: Suite, bench: SimProcess) -> None:
    both = bench_toml(bench).replace("[boards.bench.module]", 'logic = "uart_tx"\n[boards.bench.module]')
    probe = f'[boards.bench.logic]\ndriver = "probe"\nconn = "{bench.probe}"\nchannels = {{ D0 = "uart_tx" }}\n'
    suite.boards(both + probe)
    result = suite.run(
        """
        def test_agree(console, logic, shell):
            with logic.console() as seen:
                shell.run("for word in one two three; do echo \\"<4>said: $word\\" > /dev/kmsg; done")
                for view in (console, seen):
                    view.expect(r"said: three\\r?\\n")
            said, heard = ([line.text for line in view.lines() if "said: " in line.text] for view in (console, seen))
            assert len(heard) == 3
            assert heard == said
            console.send("\\r")   # the watched one is the serial port
        """,
        board="bench",
    )
    result.assert_outcomes(passed=1)

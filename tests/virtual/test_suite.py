"""The seed's story, told by the product on a real kernel: racy fails, fixed passes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.requirements import VIRTUAL_BOARD, require_all

if TYPE_CHECKING:
    from tests.suite import Suite

pytestmark = require_all(*VIRTUAL_BOARD)
BOARD_SUITE = Path(__file__).parents[1] / "hil"
RUN_S = 110
FILES = {"incident.txt", "incident.json", "console.txt", "shell.txt"}


@pytest.fixture
def board_suite(suite: Suite) -> Suite:
    """The suite that a shepherd developer runs."""
    shutil.copytree(BOARD_SUITE, suite.pytester.path / "hil", ignore=shutil.ignore_patterns("__pycache__"))
    return suite


def the_incident(suite: Suite, test: str) -> dict[str, Any]:
    """The only one of a failed test whose evidence is all there."""
    assert {file.name for file in suite.evidence[test].iterdir()} >= FILES
    (found,) = suite.incidents(test)
    return found


def test_healthy_board_passes_the_whole_board_suite(board_suite: Suite) -> None:
    result = board_suite.again(board="qemu01", timeout_s=RUN_S)
    result.assert_outcomes(passed=10)
    result.stdout.no_fnmatch_line("*back after*")


def test_racy_module_fails_with_the_users_own_crash_and_fixed_passes(board_suite: Suite) -> None:
    only = ("-k", "unloads or loads")
    racy = board_suite.again(*only, board="qemu-racy", timeout_s=RUN_S)
    outcomes = racy.parseoutcomes()
    assert outcomes.get("failed", 0) >= 1
    test, *_ = board_suite.evidence
    found = board_suite.incidents(test)[0]
    assert (found["kind"], found["fatal"], found["severity"]) == ("oops", True, "fail")
    assert (found["function"], found["module"]) == ("pru0_comm_receive_msg", "shepherd")
    assert int(str(found["address"]), 0) == 0x1C1
    text = (board_suite.evidence[test] / "incident.txt").read_text()
    assert "NULL pointer dereference at 0x1c1 in pru0_comm_receive_msg" in text
    assert "while unloading shepherd" in text
    assert "coordinator_callback" in text
    assert "hrtimer_cancel()" in text
    racy.stdout.fnmatch_lines(["hil: qemu-racy: back after *"])
    shutil.rmtree(board_suite.pytester.path / "hil-evidence")
    fixed = board_suite.again(*only, board="qemu01", timeout_s=RUN_S)
    assert fixed.ret == 0


def test_leaking_module_fails_when_the_cma_area_is_used_up(board_suite: Suite) -> None:
    result = board_suite.again("-k", "twenty_reloads", board="qemu-cma", timeout_s=RUN_S)
    assert result.parseoutcomes().get("failed", 0) + result.parseoutcomes().get("errors", 0) == 1
    found = the_incident(board_suite, "test_module_survives_twenty_reloads")
    assert (found["kind"], found["severity"], found["fatal"]) == ("cma-alloc-failure", "fail", False)
    assert "PRU0 not booted" in found["headline"]


def test_mute_pru_fails_the_test_that_asks_it(board_suite: Suite) -> None:
    result = board_suite.again("-k", "prus_answer", board="qemu-pru", timeout_s=RUN_S)
    result.assert_outcomes(failed=1)
    found = board_suite.incidents("test_prus_answer_after_loading")[0]
    assert (found["kind"], found["severity"]) == ("pru-timeout", "fail")


def test_board_without_snapshots_boots_each_time(suite: Suite) -> None:
    suite.boards("[boards.cold.virtual]\nsnapshot = false\n")
    result = suite.run(
        """
        def test_boots(console, shell):
            assert "Booting Linux" in shell.run("dmesg").stdout
        """,
        board="cold",
    )
    result.assert_outcomes(passed=1)
    (log,) = (suite.pytester.path / "hil-evidence").glob("*/console-cold.log")
    assert "hil: board is ready" in log.read_text()


def test_power_cycle_on_purpose_is_no_incident(suite: Suite) -> None:
    result = suite.run(
        """
        def test_cycle(board, shell):
            old = board.boot_id
            board.power_cycle()
            assert board.boot_id != old
            assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id

        def test_next(board, shell):
            assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id
        """,
        board="qemu01",
    )
    result.assert_outcomes(passed=2)

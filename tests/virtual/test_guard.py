"""The guard on a real kernel: what it still says when a test hangs, lost networks, power on purpose, the doctor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.requirements import VIRTUAL_BOARD, require_all

if TYPE_CHECKING:
    from tests.suite import Suite

pytestmark = require_all(*VIRTUAL_BOARD)
RUN_S = 110


def test_a_test_that_hangs_gets_a_picture_of_the_kernel(suite: Suite) -> None:
    suite.write(
        """
        import pytest
        @pytest.mark.timeout(5, func_only=True)
        def test_hangs(shell):
            shell.run("echo half done; sleep 60", timeout_s=70)
        def test_next(shell): shell.run("true")
        """
    )
    result = suite.again(board="qemu01", timeout_s=RUN_S)
    result.assert_outcomes(passed=1, failed=1)
    (hang,) = (suite.pytester.path / "hil-evidence").glob("*/*test_hangs*/hang.txt")
    text = hang.read_text()
    for part in ("half done", "Show Blocked State", "Show backtrace of all active CPUs", "Show State", "comm", "sleep"):
        assert part in text
    result.stdout.no_fnmatch_line("*kernel *lockup*")


def test_a_board_whose_network_dies_is_a_lost_fence_with_a_picture_and_comes_back(suite: Suite) -> None:
    suite.write(
        """
        import time
        def test_cut(shell):
            shell.run("(sleep 0.5; for i in /sys/class/net/e*; do ip link set ${i##*/} down; done) >/dev/null 2>&1 &")
            time.sleep(1)
        def test_next(board, shell):
            assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id
        """
    )
    result = suite.again(board="qemu01", timeout_s=RUN_S)
    result.assert_outcomes(passed=1, failed=1)
    (incident,) = suite.incidents("test_cut")
    assert (incident["kind"], incident["fatal"]) == ("console-lost", True)
    assert "the kernel answered BREAK and SysRq" in incident["hints"][0]
    said = "\n".join(incident["lines"])
    assert "Show Blocked State" in said
    assert "Show backtrace of all active CPUs" in said


def test_the_doctor_finds_a_virtual_board_well(suite: Suite) -> None:
    command = (sys.executable, "-m", "pytest_shepherd_hil.cli", "doctor", "qemu01", "--boards", "boards.toml")
    result = suite.pytester.run(*command, timeout=RUN_S)
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "  ok * a line written to /dev/kmsg came out after *",
            "  ok *BREAK and SysRq h are answered",
            "qemu01: all well: *",
        ]
    )

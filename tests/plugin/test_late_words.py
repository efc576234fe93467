"""Words that come out when their test is over: an extra failure of that test, and of no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.suite import Suite

SOURCE = """
import pytest, time
PRU = "shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!"

def test_guilty(board, shell):
    shell.run("true")
    time.sleep(0.8)

def test_innocent(board, console):
    board.hardware.printk(PRU, age_s=0.5)  # another processor was first
    board.hardware.printk("something else")
    console.expect("something else")
    time.sleep(0.3)
    print("WENT ON")

def test_also_innocent(shell): shell.run("true")
"""


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_they_are_charged_to_the_test_that_caused_them(suite: Suite, workers: tuple[str, ...]) -> None:
    result = suite.run(SOURCE, "-rA", "--junitxml", "junit.xml", *workers)
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*_ test_guilty (late words of the board) _*",
            "PRU did not answer to trigger-request in time (board sim01)",
            "  late      charged to test_it.py::test_guilty, which had ended when it came out",
        ]
    )
    result.stdout.fnmatch_lines_random(
        [
            "PASSED test_it.py::test_guilty",
            "PASSED test_it.py::test_innocent",
            "FAILED test_it.py::test_guilty - PRU did not answer*",
        ]
    )
    result.stdout.no_fnmatch_line("*outside of any test*")
    assert list(suite.evidence) == ["test_guilty"]
    assert "PRU did not answer" in (suite.pytester.path / "junit.xml").read_text()


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_they_count_as_a_failure_of_the_run_at_once(suite: Suite, workers: tuple[str, ...]) -> None:
    more = "\n@pytest.mark.parametrize('number', range(5))\ndef test_more(shell, number): shell.run('true')\n"
    result = suite.run(SOURCE + more, "-x", *workers)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*stopping after 1 failures*"])


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_they_are_in_junits_file_also_where_the_run_was_broken_off(suite: Suite, workers: tuple[str, ...]) -> None:
    suite.write(SOURCE.replace('    print("WENT ON")', '    open("stuck", "w").close()\n    time.sleep(500)'))
    folder = suite.pytester.path
    lean = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--board", "sim01", "--junitxml", "junit.xml", *lean, *workers],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "stuck").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert b"FAILED test_it.py::test_guilty - PRU did not answer" in output
    assert "PRU did not answer" in (folder / "junit.xml").read_text()


def test_what_a_harmed_board_says_before_its_restart_adds_to_the_tests_evidence(suite: Suite) -> None:
    result = suite.run(
        """
        from pytest_shepherd_hil import recovery

        sync = recovery._sync
        def says_more(board):
            console = board.console()
            board.hardware.printk("shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!")
            console.expect("trigger-request")
            sync(board)
        recovery._sync = says_more

        def test_guilty(board): board.hardware.printk("shprd.k: mem corruption?")
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*outside of any test*")
    assert [found["kind"] for found in suite.incidents("test_guilty")] == ["shepherd-fault", "pru-timeout"]
    assert "trigger-request" in (suite.evidence["test_guilty"] / "console.txt").read_text()


@pytest.mark.parametrize("where", ["verdict", "late"])
def test_what_ctrl_c_cuts_off_while_a_verdict_is_made_is_said_all_the_same(suite: Suite, where: str) -> None:
    suite.pytester.makeconftest(
        """
        from pytest_shepherd_hil.judge import Judge

        write = Judge.write_evidence
        def interrupted(self, window):
            if self._guard.unexpected(window):
                Judge.write_evidence = write
                raise KeyboardInterrupt
            return write(self, window)
        Judge.write_evidence = interrupted
        """
    )
    at_once = "def test_guilty(board): board.hardware.printk('shprd.k: mem corruption?')\n"
    result = suite.run(SOURCE if where == "late" else at_once, "--junitxml", "junit.xml")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    words = "PRU did not answer" if where == "late" else "shepherd: mem corruption?"
    result.stdout.fnmatch_lines([f"FAILED test_it.py::test_guilty - {words}*"])
    result.stdout.no_fnmatch_line("*outside of any test*")
    assert words in (suite.pytester.path / "junit.xml").read_text()


def test_they_are_charged_to_it_after_a_restart_on_purpose_too(suite: Suite) -> None:
    cycle = """
def test_cycle(board):
    time.sleep(4)  # the kernel's time is far ahead of that of the next boot
    board.power.cycle()
"""
    result = suite.run(SOURCE.replace("def test_guilty", cycle.lstrip() + "\ndef test_guilty", 1), "-rA")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*_ test_guilty (late words of the board) _*"])


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_of_the_last_test_they_come_out_before_the_run_ends(suite: Suite, workers: tuple[str, ...]) -> None:
    suite.between_tests("BOARD.hardware.printk('shprd.k: mem corruption?', age_s=0.4); time.sleep(0.3)")
    result = suite.run("import time\ndef test_guilty(board): time.sleep(0.8)\n", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_guilty - shepherd: mem corruption*"])


def test_words_that_are_kept_back_come_out_at_the_end_of_the_teardown(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        @pytest.fixture
        def leaves_words(board):
            yield
            board.hardware.printk("shprd.k: mem corruption?", newline=False)
        def test_guilty(leaves_words): pass
        def test_innocent(shell): shell.run("true")
        """,
        "-rA",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_guilty*"])


def test_a_board_that_dies_of_the_test_before_is_not_the_next_ones_fault(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        @pytest.fixture
        def dies_late(board):
            yield
            board.hardware.panic()

        def test_guilty(dies_late): pass
        def test_healthy(shell): shell.run("true")
        """,
        "-rA",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["ERROR test_it.py::test_guilty - kernel oops, then panic*"])


def test_reported_only_they_fail_nothing(suite: Suite) -> None:
    result = suite.run(SOURCE, "--hil-on-incident", "report")
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["incident, only reported: test_it.py::test_guilty: PRU did not answer*"])

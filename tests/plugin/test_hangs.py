"""What is attached to a test that hangs, and what interrupts and ends it beside the guard."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.suite import Suite


def test_a_time_out_shows_the_shells_last_output_the_console_and_the_kernels_state(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        @pytest.mark.timeout(3, func_only=True)
        def test_hangs(shell, board):
            board.hardware.printk("the last the kernel said")
            shell.run("echo half done; sleep 60", timeout_s=70)
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*board sim01 while the test hung*",
            "where the test was",
            "*test_it.py*in test_hangs",
            '*shell.run("echo half done; sleep 60"*',
            "*$ echo half done; sleep 60",
            "*stdout: half done",
            "the console's last lines",
            "*the last the kernel said",
            "*Show Blocked State",
            "*Show backtrace of all active CPUs",
            "*Show State",
        ]
    )
    (run,) = (suite.pytester.path / "hil-evidence").iterdir()
    (hang,) = run.glob("*test_hangs*/hang.txt")
    assert "half done" in hang.read_text()


@pytest.mark.parametrize("how", ["fail", "abort-run", "report"])
def test_what_an_incident_does_is_the_users_choice(suite: Suite, how: str) -> None:
    result = suite.run(
        """
        def test_before(shell): pass
        def test_guilty(board, shell):
            board.hardware.printk("shprd.k: mem corruption?")
            shell.run("sleep 2", timeout_s=10)
        def test_after(shell): shell.run("true")
        """,
        "--hil-on-incident",
        how,
    )
    outcomes = {"fail": {"passed": 2, "failed": 1}, "abort-run": {"passed": 1, "failed": 1}, "report": {"passed": 3}}
    result.assert_outcomes(**outcomes[how])
    assert result.ret == (0 if how == "report" else pytest.ExitCode.TESTS_FAILED)
    if how == "abort-run":
        result.stdout.fnmatch_lines(["!*shepherd: mem corruption? (board sim01) (--hil-on-incident=abort-run)*"])
    if how == "report":
        result.stdout.fnmatch_lines(["incident, only reported: test_it.py::test_guilty: shepherd: mem corruption*"])
        assert list(suite.evidence) == ["test_guilty"]


def test_the_run_is_aborted_under_xdist_too(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        def test_guilty(board): board.hardware.printk("shprd.k: mem corruption?")
        @pytest.mark.parametrize("number", range(5))
        def test_after(shell, number): shell.run("true")
        """,
        "--hil-on-incident=abort-run",
        "-n",
        "1",
    )
    result.assert_outcomes(failed=1)


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_what_happens_between_tests_aborts_the_run_too(suite: Suite, workers: tuple[str, ...]) -> None:
    suite.between_tests(
        """
        if "BLAMED" not in globals():
            globals()["BLAMED"] = True
            BOARD.hardware.printk("shprd.k: mem corruption?")
            time.sleep(0.5)
        """
    )
    result = suite.run(
        """
        import pytest
        @pytest.mark.parametrize("number", range(5))
        def test_it(shell, number): shell.run("true")
        """,
        "--hil-on-incident=abort-run",
        *workers,
    )
    result.assert_outcomes(passed=1)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["!*shepherd: mem corruption? (board sim01) (--hil-on-incident=abort-run)*"])
    result.stdout.fnmatch_lines(["outside of any test: shepherd: mem corruption? (board sim01)"])


def test_the_choice_may_stand_in_the_ini_file_and_a_wrong_one_is_said(suite: Suite) -> None:
    suite.pytester.makeini("[pytest]\nhil_on_incident = report")
    source = "def test_it(board): board.hardware.printk('shprd.k: mem corruption?')\n"
    suite.run(source).assert_outcomes(passed=1)
    suite.pytester.makeini("[pytest]\nhil_on_incident = ignore")
    result = suite.again()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: hil_on_incident = 'ignore' in *: choose one of fail, abort-run, report"])


def test_a_debugger_stops_where_the_test_was(suite: Suite) -> None:
    suite.write(
        """
        import time
        def test_guilty(board):
            here = "in the test"
            board.hardware.panic()
            time.sleep(60)
        def test_next(shell): shell.run("true")
        """
    )
    options = ("--board", "sim01", "--pdb", "-s", "-p", "no:cacheprovider")
    result = suite.pytester.run(sys.executable, "-m", "pytest", *options, stdin=b"p 'HERE', here\nc\n", timeout=60)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*kernel oops, then panic*", "*('HERE', 'in the test')*"])


def test_an_incident_stops_the_test_while_its_threads_still_run(suite: Suite) -> None:
    result = suite.run(
        """
        import threading, time
        ended = []
        def test_guilty(board, shell):
            def work():
                try:
                    shell.run("sleep 60", timeout_s=70)
                except Exception as error:
                    ended.append(type(error).__name__)
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads: thread.start()
            time.sleep(0.5)
            board.hardware.panic()
            for thread in threads: thread.join()
        def test_next(shell):
            shell.run("true")
            assert len(ended) == 3
        """
    )
    result.assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_panic_comes_before_either_kind_of_time_out(suite: Suite, method: str) -> None:
    result = suite.run(
        """
        import time
        def test_guilty(board):
            board.hardware.panic()
            time.sleep(60)
        def test_next(shell): shell.run("true")
        """,
        "--timeout=30",
        f"--timeout-method={method}",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*Timeout*")

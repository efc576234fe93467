"""Many tests, and incidents among them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.suite import Suite


@pytest.mark.timeout(600)
def test_of_two_hundred_tests_every_tenth_has_an_incident_and_only_these_fail(suite: Suite) -> None:
    suite.write(
        """
        import pytest, time

        WAYS = {
            "panic": lambda board, shell: (board.hardware.panic(), time.sleep(60)),
            "reboot": lambda board, shell: (board.hardware.reboot(), time.sleep(60)),
            "single line": lambda board, shell: board.hardware.printk("shprd.k: mem corruption?"),
            "no newline": lambda board, shell: board.hardware.printk("shprd.k: mem corruption?", newline=False),
            "shell": lambda board, shell: shell.run("echo c > /proc/sysrq-trigger", timeout_s=70),
        }

        @pytest.mark.parametrize("number", range(200))
        def test_it(board, shell, number):
            if number % 10 == 4:
                list(WAYS.values())[number // 10 % len(WAYS)](board, shell)
            elif number % 2:
                assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id
        """
    )
    result = suite.again("-rf", timeout_s=550)
    result.assert_outcomes(passed=180, failed=20)
    failed = sorted(
        int(number) for number in re.findall(r"^FAILED test_it.py::test_it\[(\d+)\]", str(result.stdout), re.MULTILINE)
    )
    assert failed == list(range(4, 200, 10))
    assert sorted(suite.evidence) == sorted(f"test_it[{number}]" for number in failed)
    result.stdout.no_fnmatch_line("*outside of any test*")


RERUNS = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    # as pytest-rerunfailures does it: reports of an attempt that is not the last are given another outcome
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for last in (False, True):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failed = any(report.failed for report in reports)
        for report in reports:
            if not last and report.failed:
                report.outcome = "rerun"
            item.ihook.pytest_runtest_logreport(report=report)
        if not failed:
            break
        item._initrequest()
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True

def pytest_report_teststatus(report):
    if report.outcome == "rerun":
        return "rerun", "R", "RERUN"
"""


def test_a_rerun_hides_no_crash_and_begins_with_a_console_of_its_own(suite: Suite) -> None:
    suite.pytester.makeconftest(RERUNS)
    result = suite.run(
        """
        import time
        attempts = {"crash": 0, "flaky": 0}

        def test_crash(board, console, shell):
            attempts["crash"] += 1
            shell.run(f"echo 'attempt {attempts['crash']}' > /dev/kmsg")
            console.expect(f"attempt {attempts['crash']}")
            assert not any("attempt 1" in line.text for line in console.lines()) or attempts["crash"] == 1
            if attempts["crash"] == 1:
                board.hardware.panic()
                time.sleep(60)

        def test_flaky(shell):
            attempts["flaky"] += 1
            assert attempts["flaky"] == 2

        def test_next(shell): shell.run("true")
        """,
        "-rA",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes() == {"passed": 2, "failed": 1, "rerun": 2}
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_crash - kernel oops, then panic*"])
    assert list(suite.evidence) == ["test_crash"]

"""``with board.expect_incident(…) as inc:``: a part of a test in which something is to go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.suite import Suite

HEAD = """
import pytest, time
PRU = "shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!"
"""


def test_a_fatal_incident_ends_the_block_and_the_test_goes_on_with_a_healthy_board(suite: Suite) -> None:
    result = suite.run(
        HEAD
        + """
        def test_it(board, shell, kernel_module, console):
            kernel_module.load()
            first = board.boot_id
            with board.expect_incident("oops", function="pru0_comm_receive_msg", timeout_s=20) as inc:
                board.hardware.panic()
                shell.run("sleep 60", timeout_s=70)
                raise AssertionError("the block went on")
            assert inc.incident.fatal and inc.incident.complete
            assert inc.incident.function == "pru0_comm_receive_msg"
            assert board.boot_id != first
            assert not kernel_module.is_loaded
            kernel_module.load()
            board.hardware.printk("back")
            console.expect("back")

        def test_next(kernel_module):
            assert kernel_module.is_loaded
        """.replace("\n        ", "\n")
    )
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*outside of any test*")


@pytest.mark.parametrize(
    "stuck",
    [
        "time.sleep(60)",
        "kernel_module.unload()",
        "console.expect('never', timeout_s=60)",
        "while True: pass",
        "pass",
    ],
)
def test_wherever_its_body_is_stuck_the_block_ends_and_swallows_that(suite: Suite, stuck: str) -> None:
    result = suite.run(
        f"""
        import time
        def test_it(board, console, kernel_module):
            kernel_module.load()
            with board.expect_incident("panic") as inc:
                board.hardware.panic()
                {stuck}
            assert inc
            time.sleep(2.5)  # whoever was sent to stop the test has given up
            assert not kernel_module.is_loaded
        """
    )
    result.assert_outcomes(passed=1)


def test_others_are_waited_for_and_the_board_is_not_restarted_within_the_test(suite: Suite) -> None:
    result = suite.run(
        HEAD
        + """
        def test_it(board):
            import threading
            boot = board.boot_id
            with board.expect_incident("pru-timeout", count=2, timeout_s=10) as inc:
                board.hardware.printk(PRU)
                threading.Timer(2.5, board.hardware.printk, [PRU]).start()
            assert [one.kind for one in inc.incidents] == ["pru-timeout"] * 2
            assert board.boot_id == boot
        """.replace("\n        ", "\n")
    )
    result.assert_outcomes(passed=1)


def test_missing_wrong_and_extra_incidents_fail(suite: Suite) -> None:
    result = suite.run(
        HEAD
        + """
        def test_missing(board):
            with board.expect_incident("oops", timeout_s=0.3):
                pass
            raise AssertionError("went on")

        def test_missing_and_swallowed(board):
            try:
                with board.expect_incident("oops", timeout_s=0.3):
                    pass
            except BaseException:
                pass

        def test_wrong(board):
            with board.expect_incident("cma-alloc-failure", timeout_s=5):
                board.hardware.panic()
                time.sleep(60)

        def test_one_too_many(board):
            with board.expect_incident("pru-timeout", timeout_s=5):
                board.hardware.printk(PRU)
                time.sleep(2.5)
                board.hardware.printk(PRU)
                time.sleep(60)

        def test_after_the_block(board):
            with board.expect_incident("pru-timeout", timeout_s=5):
                board.hardware.printk(PRU)
            time.sleep(2.5)
            board.hardware.printk(PRU)
            time.sleep(60)

        def test_before_the_block(board, console):
            board.hardware.printk(PRU)
            with board.expect_incident("pru-timeout", timeout_s=0.3):
                pass

        def test_own_failure_in_the_block(board):
            with board.expect_incident("oops", timeout_s=30):
                assert "one" == "two"
        """.replace("\n        ", "\n")
    )
    result.assert_outcomes(failed=7)
    told = [
        line for line in result.outlines if line.startswith("expected on board sim01, but did not happen: 1 of oops")
    ]
    assert len(told) == 2
    result.stdout.fnmatch_lines_random(
        [
            "expected on board sim01, but did not happen: 1 of cma-alloc-failure",
            "E *AssertionError: assert 'one' == 'two'",
        ]
    )
    result.stdout.no_fnmatch_line("*went on*")


def test_a_mistake_after_a_swallowed_death_still_fails(suite: Suite) -> None:
    result = suite.run(
        """
        def test_it(board, shell):
            with board.expect_incident("panic"):
                board.hardware.panic()
            shell.run("false")
        def test_dies_again(board, shell):
            with board.expect_incident("panic"):
                board.hardware.panic()
            board.hardware.panic()
            shell.run("sleep 60", timeout_s=70)
        """
    )
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*`false` ended with exit status 1*", "kernel oops, then panic: *"])


def test_a_fixture_may_expect_and_wide_fixtures_are_set_up_again(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest

        @pytest.fixture(scope="module")
        def loaded(board):
            board.module().load()

        @pytest.fixture
        def crashed(board):
            with board.expect_incident("panic"):
                board.hardware.panic()

        def test_first(loaded, crashed, shell): shell.run("true")
        def test_second(loaded, kernel_module): assert kernel_module.is_loaded
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("'ooops'", "*unknown kind 'ooops'; did you mean 'oops'[?]*"),
        ("'oops', count=0", "*count must be a whole number from 1*"),
        ("'oops', timeout_s=0", "*timeout_s must be more than 0, not 0*"),
        ("kind='oops', match='('", "*match is not a regular expression*"),
    ],
)
def test_wrong_arguments_are_said(suite: Suite, call: str, problem: str) -> None:
    result = suite.run(f"def test_it(board):\n    with board.expect_incident({call}): pass\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([problem])

"""The markers: what they do, and what is said of one that is used wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.suite import Suite


def test_module_reload_reloads_before_the_test(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest

        @pytest.mark.module_reload
        def test_once(kernel_module, console):
            assert kernel_module.is_loaded
            assert sum("init shepherd module" in line.text for line in console.lines()) == 1

        @pytest.mark.module_reload(cycles=3)
        class TestThrice:
            def test_it(self, console):
                assert sum("init shepherd module" in line.text for line in console.lines()) == 3

        @pytest.mark.module_reload(2, module="uio_pdrv_genirq")
        def test_another_module_which_is_in_use(): pass
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["module_reload of uio_pdrv_genirq, cycle 1 of 2: board sim01: could not unload uio_pdrv_genirq"]
    )


def test_failure_while_reloading_is_a_setup_error_that_says_in_which_cycle(suite: Suite) -> None:
    sim = '[boards.third.sim]\nfault = "racy"\nfault_after = 3\n[boards.third.module]\nname = "shepherd"\n'
    suite.boards(f"[boards.third]\n{sim}")
    result = suite.run(
        """
        import pytest
        @pytest.mark.module_reload(cycles=9)
        def test_it(): pass
        def test_next(kernel_module): kernel_module.load()
        """,
        board="third",
    )
    result.assert_outcomes(passed=1, errors=1)
    # the third unload, and the first cycle has nothing to unload
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_it*",
            "kernel oops, then panic: *(board third)",
            "  where     module_reload of shepherd, cycle 4 of 9",
        ]
    )


def test_expected_incident_that_happens_lets_the_test_pass(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        @pytest.mark.expect_incident("panic", function="pru0_comm_receive_msg")
        def test_fatal_one_ends_the_body(board, shell):
            board.hardware.panic()
            shell.run("sleep 500", timeout_s=500)
            raise AssertionError("the body went on")

        @pytest.mark.expect_incident(kind="oops", match="NULL pointer .* while unloading shepherd")
        def test_by_its_own_kind(board):
            board.hardware.panic()
            time.sleep(500)

        @pytest.mark.expect_incident("pru-timeout", count=2)
        def test_others_let_the_body_go_on(board):
            for _ in range(2):
                board.hardware.printk("shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!")
                time.sleep(2.5)
            print("WENT ON")

        def test_board_is_healthy(shell): shell.run("true")
        """,
        "-rP",
    )
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["WENT ON"])


def test_expected_incident_that_does_not_happen_or_is_another_fails(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        @pytest.mark.expect_incident("oops")
        def test_nothing(shell): shell.run("true")

        @pytest.mark.expect_incident("cma-alloc-failure")
        def test_wrong_kind(board):
            board.hardware.panic()
            time.sleep(500)

        @pytest.mark.expect_incident("oops", function="somewhere_else")
        def test_wrong_function(board):
            board.hardware.panic()
            time.sleep(500)

        @pytest.mark.expect_incident("pru-timeout")
        def test_one_too_many(board):
            for _ in range(2):
                board.hardware.printk("shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!")
                time.sleep(2.5)

        @pytest.mark.expect_incident("oops")
        def test_own_failure_is_shown(board):
            assert 1 == 2
        """
    )
    result.assert_outcomes(failed=5)
    result.stdout.fnmatch_lines_random(
        [
            "expected on board sim01, but did not happen: 1 of oops",
            "expected on board sim01, but did not happen: 1 of cma-alloc-failure",
            "expected on board sim01, but did not happen: 1 of oops in somewhere_else",
            "PRU did not answer to trigger-request in time (board sim01)",
            "E       assert 1 == 2",
        ]
    )


@pytest.mark.parametrize(
    ("marker", "problem"),
    [
        ("module_reload(cycle=3)", "*unexpected keyword argument 'cycle'*"),
        ("module_reload(0)", "*cycles must be a whole number from 1 to *"),
        ("module_reload('3')", "*cycles must be a whole number from 1 to *"),
        ("module_reload(1, module=7)", "*module must be text*"),
        ("expect_incident", "*missing a required argument: 'kind'*"),
        ("expect_incident('ooops')", "*unknown kind 'ooops'; did you mean 'oops'?*"),
        ("expect_incident('oops', count=0)", "*count must be a whole number from 1*"),
        ("expect_incident('oops', match='(')", "*match is not a regular expression: *"),
        ("expect_incident('oops', 'f', 'm', 1, 2)", "*too many positional arguments*"),
    ],
)
def test_wrong_arguments_are_a_usage_error_that_shows_the_right_form(suite: Suite, marker: str, problem: str) -> None:
    result = suite.run(f"import pytest\n@pytest.mark.{marker}\ndef test_it(): pass\n", board=None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    name = marker.partition("(")[0]
    (error,) = [line for line in result.errlines if line]
    assert error.startswith("ERROR: test_it.py::test_it: @pytest.mark." + name)
    assert f"the right form is @pytest.mark.{name}(" in error
    result.stderr.fnmatch_lines([problem])


def test_markers_are_registered_with_their_signatures(suite: Suite) -> None:
    result = suite.again("--markers", board=None)
    result.stdout.fnmatch_lines(
        [
            "@pytest.mark.module_reload(cycles=1, module=None): *",
            "@pytest.mark.expect_incident(kind, function=None, match=None, count=1): *",
        ]
    )

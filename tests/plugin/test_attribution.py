"""Whose incident it is, in the corners: late words, wide fixtures, other processes, dead connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.suite import Suite

PRU = 'board.hardware.printk("shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!")'


def test_report_that_begins_in_a_test_and_ends_after_it_is_not_lost(suite: Suite) -> None:
    suite.pytester.makeconftest(
        """
        import pytest, time
        from pathlib import Path

        @pytest.fixture(autouse=True)
        def last_words(board):
            global BOARD
            BOARD = board
            yield
            board.hardware.printk("8<--- cut here ---")

        def pytest_runtest_logfinish(nodeid):
            BOARD.hardware.printk("Internal error: Oops: 5 [#1] PREEMPT SMP ARM")
            time.sleep(2.5)
        """
    )
    result = suite.run("def test_one(shell): shell.run('true')\n")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*kernel oops*"])


def test_teardown_gets_its_fence_also_after_very_many_commands(suite: Suite) -> None:
    result = suite.run(
        f"""
        import pytest
        from pytest_shepherd_hil.shell import Shell
        Shell.KEEP_CALLS = 5

        @pytest.fixture
        def late(board, shell):
            yield
            {PRU.replace("in time!", "in time! ")}
            shell.run("true")

        def test_one(late, shell):
            for _ in range(8):
                shell.run("true")

        def test_two(shell): shell.run("true")
        """,
        "-rA",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_one*"])


def test_incident_between_tests_fails_the_run_under_xdist_too(suite: Suite) -> None:
    suite.between_tests("BOARD.hardware.panic(); time.sleep(2)")
    result = suite.run("def test_one(shell): shell.run('true')\n", "-n", "1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["outside of any test: kernel oops, then panic: *", "  (outside of tests, board *)"])


@pytest.mark.parametrize("board", [None, "sim01"])
def test_wrong_marker_is_said_under_xdist_too(suite: Suite, board: str | None) -> None:
    result = suite.run(
        "import pytest\n@pytest.mark.expect_incident('ops')\ndef test_it(): pass\n", "-n", "1", board=board
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: *expect_incident('ops')*did you mean 'oops'?*"])


def test_fixtures_of_wider_scope_are_set_up_again_on_the_new_boot(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        @pytest.fixture(scope="module")
        def dies_once(board, state={}):
            if not state:
                state["died"] = True
                board.hardware.panic()
                time.sleep(30)

        @pytest.fixture(scope="class")
        def loaded(board):
            board.module().load()

        def test_first(dies_once): pass
        def test_second(dies_once, shell): shell.run("true")

        class TestWithModule:
            def test_dies(self, loaded, board):
                board.hardware.panic()
                time.sleep(30)
            def test_has_its_module(self, loaded, kernel_module):
                assert kernel_module.is_loaded
        """
    )
    result.assert_outcomes(passed=2, failed=1, errors=1)


def test_one_panic_is_one_failure_though_fixtures_use_the_dead_board(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        @pytest.fixture
        def one(shell):
            yield
            shell.run("true")

        @pytest.fixture
        def two(kernel_module):
            kernel_module.load()
            yield
            kernel_module.unload()

        def test_dies(one, two, board):
            board.hardware.panic()
            time.sleep(30)

        @pytest.mark.expect_incident("panic")
        def test_dies_as_expected(one, two, board):
            board.hardware.panic()
            time.sleep(30)

        @pytest.fixture
        def dying(board):
            board.hardware.panic()
            time.sleep(30)

        @pytest.mark.expect_incident("panic")
        def test_dies_as_expected_before_its_body(dying):
            raise AssertionError("the body ran")
        """
    )
    result.assert_outcomes(passed=2, failed=1)


def test_board_that_hangs_at_a_tests_end_fails_the_test(suite: Suite) -> None:
    result = suite.run(
        """
        def test_falls_silent(board, shell):
            shell.run("true")
            board.hardware.hang()
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["fence lost: the shell took no line for /dev/kmsg: *(board sim01)"])


def test_skipped_tests_open_nothing_and_markers_reach_only_their_own_test(suite: Suite) -> None:
    suite.boards('[boards.gone]\n[boards.gone.console]\nport = "/nowhere"\n')
    result = suite.run(
        """
        import pytest
        @pytest.mark.skip(reason="not today")
        def test_skipped(board): pass
        @pytest.mark.xfail(run=False)
        def test_not_run(board): pass
        @pytest.mark.parametrize("n", [pytest.param(1, marks=[pytest.mark.module_reload, pytest.mark.skip]), 2])
        def test_marked(n): pass
        """,
        "-rs",
        board="gone",
    )
    result.assert_outcomes(skipped=2, xfailed=1, passed=1)
    result.stdout.fnmatch_lines(["*not today*"])


def test_board_asked_for_in_the_midst_of_a_test(suite: Suite) -> None:
    result = suite.run(
        """
        import time
        def test_asks(request):
            board = request.getfixturevalue("board")
            board.hardware.panic()
            time.sleep(30)
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["kernel oops, then panic: *"])


def test_time_out_holds_on_a_connection_that_fell_silent(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time
        from pytest_shepherd_hil.errors import CommandTimeoutError
        def test_it(board, shell):
            shell.run("true")
            board.hardware.ssh("silent")
            started = time.monotonic()
            with pytest.raises(CommandTimeoutError):
                shell.run("true", timeout_s=1)
            assert time.monotonic() - started < 3
            board.hardware.ssh("ok")
        """
    )
    result.assert_outcomes(passed=1)


def test_old_logs_that_are_shown_again_and_what_a_test_types_are_no_incidents(suite: Suite) -> None:
    result = suite.run(
        r"""
        import time
        from pytest_shepherd_hil.sim.logs import CMA_AND_PRU, UNLOAD_PANIC, log_lines

        def shown(name, offset_s=0.0):
            lines = [f"[{line.time_s + offset_s:12.6f}] {line.text}" for line in log_lines(name)]
            return "\r\n".join(lines) + "\r\n"

        def test_dmesg_on_the_console(board, console, shell):
            while console.kernel_time < 2:  # dmesg cannot show what is still to come
                shell.run("echo '<6>waiting' > /dev/kmsg; sleep 0.3")
            oldest = min(line.time_s for line in log_lines(UNLOAD_PANIC))
            board.hardware.uart_send("debian@sim:~$ dmesg\r\n" + shown(UNLOAD_PANIC, -oldest) + "debian@sim:~$ true")
            console.expect(r"sim:~\$ true", timeout_s=30)

        def test_log_of_an_earlier_boot(board, console, shell):
            for name in (UNLOAD_PANIC, CMA_AND_PRU):
                board.hardware.uart_send("\r\ndebian@sim:~$ cat kern.log.1\r\n" + shown(name) + "debian@sim:~$ true")
                console.expect(r"sim:~\$ true", timeout_s=30)

        def test_echo_of_what_it_types(console, shell):
            console.send("echo 'Internal error: Oops: 5 [#1] PREEMPT SMP ARM'\n")
            console.send("dmesg | grep 'Kernel panic - not syncing'\n")
            time.sleep(0.3)
            shell.run("echo 'Kernel panic - not syncing: said on the shell'")

        def test_oops(shell): shell.run("true")

        def test_after_all_that_an_incident_is_still_one(board):
            board.hardware.printk("shprd.k: mem corruption?")
        """
    )
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_after_all_that_an_incident_is_still_one - shepherd*"])
    result.stdout.no_fnmatch_line("*outside of*")


def test_neighbouring_tests_share_the_fence_between_them(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        counts = []
        @pytest.mark.parametrize("number", range(6))
        def test_it(board, number):
            counts.append(sum("hil: fence" in line.text for line in board.log.lines()))
        def test_each_had_one_for_its_body_and_one_for_its_end(board):
            steps = [after - before for before, after in zip(counts, counts[1:])]
            assert set(steps) == {2}
        """
    )
    result.assert_outcomes(passed=7)


@pytest.mark.parametrize("how", ["board.power_cycle()", "board.power.cycle()"])
def test_a_power_cycle_on_purpose_is_no_incident(suite: Suite, how: str) -> None:
    result = suite.run(
        f"""
        def test_cycles(board, shell):
            old = board.boot_id
            {how}
            assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id != old
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*outside of*")


@pytest.mark.parametrize("how", ["power_cycle", "reboot"])
def test_a_hand_at_the_plug_is_an_accident(suite: Suite, how: str) -> None:
    result = suite.run(
        f"""
        import time
        def test_accident(board):
            board.hardware.{how}()
            time.sleep(60)
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_accident - *reboot*"])

"""What the kernel does to a test: fails it, at once, whatever it makes of that; and the board is back for the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.suite import Suite

HEADLINE = (
    "kernel oops, then panic: NULL pointer dereference at 0x1c1 in pru0_comm_receive_msg+0x28 [[]shepherd] "
    "while unloading shepherd (board sim-racy)"
)
AFTER = """
def test_next_one_has_a_healthy_board(shell, kernel_module):
    kernel_module.load()
    assert shell.run("cat /sys/shepherd/state").stdout == "idle\\n"
"""


def test_panic_fails_the_test_stuck_in_a_shell_command_at_once_and_the_board_is_back(suite: Suite) -> None:
    result = suite.run(
        """
        import time
        def test_unload(shell, kernel_module):
            kernel_module.load()
            shell.run("modprobe -rf shepherd", timeout_s=500)
        """,
        "-rfE",
        then=AFTER,
        board="sim-racy",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*_ test_unload _*",
            HEADLINE,
            "  kind      oops, fatal*",
            "  hint *timer callback*",
            "  hint *being unloaded*",
            "  console",
            "  | [[]*Unable to handle kernel NULL pointer dereference at virtual address 000001c1",
            "  | [[]*Rebooting in 1 seconds..",
            "  evidence  hil-evidence/*/test_it.py-test_unload-*/",
        ]
    )
    assert result.stdout.str().count("CommandTimeoutError") == 0
    (incident,) = suite.incidents("test_unload")
    assert (incident["kind"], incident["function"], incident["module"]) == ("oops", "pru0_comm_receive_msg", "shepherd")
    assert incident["fatal"]
    assert incident["complete"]
    folder = suite.evidence["test_unload"]
    console = (folder / "console.txt").read_text()
    assert "shprd.k: init shepherd module" in console
    assert "Kernel panic - not syncing: Fatal exception in interrupt" in console
    assert "$ modprobe -rf shepherd" in (folder / "shell.txt").read_text()
    assert "Unable to handle kernel" in (folder / "incident.txt").read_text()
    assert list(suite.evidence) == ["test_unload"]


@pytest.mark.parametrize(
    "stuck",
    [
        "time.sleep(500)",
        "threading.Event().wait(500)",
        "subprocess.run(['sleep', '40'])",
        "console.expect('never', timeout_s=500)",
        "while True: pass",
        "threading.Lock().acquire() and lock.acquire()",
    ],
)
def test_panic_fails_a_test_wherever_it_is_stuck(suite: Suite, stuck: str) -> None:
    result = suite.run(
        f"""
        import subprocess, threading, time
        lock = threading.Lock()
        lock.acquire()
        def test_stuck(board, console):
            board.hardware.panic()
            {stuck}
        """,
        board="sim01",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["kernel oops, then panic: *(board sim01)"])


def test_a_test_cannot_talk_itself_out_of_it(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        def wait(board):
            board.hardware.panic()
            time.sleep(500)

        def test_swallows_everything(board):
            try:
                wait(board)
            except BaseException:
                pass

        @pytest.mark.xfail
        def test_is_marked_xfail(board):
            wait(board)

        @pytest.mark.xfail(strict=True, raises=ZeroDivisionError)
        def test_is_marked_xfail_for_something_else(board):
            board.hardware.panic()
            1 / 0

        def test_skips_itself(board):
            board.hardware.panic()
            pytest.skip("I would rather not")

        def test_passes_before_the_report_has_ended(board):
            board.hardware.panic()

        def test_fails_besides(board):
            board.hardware.panic()
            assert "one" == "two"
        """,
        "-rA",
    )
    result.assert_outcomes(failed=6)
    assert result.stdout.str().count("\nkernel oops, then panic: ") == 6
    result.stdout.fnmatch_lines(["  besides   the test raised AssertionError: assert 'one' == 'two'"])


def test_panic_in_setup_and_teardown_is_pytests_own_error_for_that_phase(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        @pytest.fixture
        def dies_in_setup(board):
            board.hardware.panic()
            time.sleep(500)

        @pytest.fixture
        def dies_in_teardown(board):
            yield
            board.hardware.panic()
            time.sleep(500)

        def test_setup(dies_in_setup): pass
        def test_teardown(dies_in_teardown): pass
        def test_healthy(shell): shell.run("true")
        """,
        "-rA",
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines_random(
        [
            "*ERROR at setup of test_setup*",
            "*ERROR at teardown of test_teardown*",
            "PASSED test_it.py::test_teardown",
            "PASSED test_it.py::test_healthy",
        ]
    )
    assert sorted(suite.evidence) == ["test_setup", "test_teardown"]


def test_fixtures_of_a_dead_board_are_torn_down_at_once(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        @pytest.fixture
        def loaded(kernel_module, shell, console):
            yield
            for call in (lambda: shell.run("true", timeout_s=500), kernel_module.unload, lambda: console.send("x"),
                         lambda: console.expect("never", timeout_s=500)):
                started = time.monotonic()
                with pytest.raises(Exception) as caught:
                    call()
                assert type(caught.value).__name__ == "BoardDeadError"
                assert "NULL pointer dereference" in str(caught.value)
                assert time.monotonic() - started < 5
            print("TORN DOWN")

        def test_dies(loaded, board):
            board.hardware.panic()
            time.sleep(500)
        """,
        "-s",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*TORN DOWN*"])


@pytest.mark.parametrize(
    ("board", "kind", "headline", "consequence"),
    [
        ("sim-cma", "cma-alloc-failure", "CMA allocation failed: 3811 pages*PRU0*", "shprd.k: Couldn't boot PRU0"),
        ("sim-pru", "pru-timeout", "PRU did not answer*", "shprd.k: forwards timestamp-jump detected*"),
    ],
)
def test_one_cause_is_one_incident_with_what_follows_from_it(
    suite: Suite, board: str, kind: str, headline: str, consequence: str
) -> None:
    result = suite.run(
        """
        import time
        def test_reloads(kernel_module):
            for _ in range(5):
                kernel_module.reload()
                time.sleep(0.2)
        """,
        then=AFTER,
        board=board,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"{headline} (board {board})", f"  then      {consequence}"])
    (incident,) = [one for one in suite.incidents("test_reloads") if one["severity"] == "fail"]
    assert incident["kind"] == kind
    assert not incident["fatal"]


def test_incident_between_two_tests_fails_the_run_and_neither_test(suite: Suite) -> None:
    suite.between_tests("BOARD.hardware.panic(); time.sleep(2)", after="test_first")
    result = suite.run("def test_first(shell): pass\ndef test_second(shell): shell.run('true')\n")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["outside of any test: kernel oops, then panic: *", "  (outside of tests, board *)"])


def test_console_that_is_unplugged_fails_the_test_that_runs(suite: Suite) -> None:
    result = suite.run(
        """
        import threading, time
        def test_unplugged(board):
            threading.Timer(6, board.hardware.plug_uart).start()
            board.hardware.unplug_uart()
            time.sleep(500)
        """,
        then=AFTER,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["hil: sim01: waiting for console /*uart*", "console lost: /*uart is gone: * (board sim01)"]
    )
    result.stdout.no_fnmatch_line("*outside of*")
    (incident,) = suite.incidents("test_unplugged")
    assert incident["kind"] == "console-lost"


def test_board_that_does_not_come_back_fails_the_rest_at_once_with_one_reason(suite: Suite) -> None:
    sim = '[boards.once.sim]\nfault = "racy"\n[boards.once.module]\nname = "shepherd"\n'
    suite.boards(f"[boards.once]\nboot_timeout_s = 2\n{sim}")
    result = suite.run(
        """
        def test_kills_it(board, kernel_module, shell):
            kernel_module.load()
            shell.run("echo 0 > /proc/sys/kernel/panic")
            board.cut_power = lambda: None
            board.link.sysrq = lambda key: None
            kernel_module.unload()
        def test_one_more(shell): pass
        def test_and_one_more(shell): pass
        """,
        board="once",
    )
    result.assert_outcomes(failed=1, errors=2)
    reason = "board once did not come back within 2 s (boot_timeout_s) after: kernel oops, then panic: *(board once)"
    result.stdout.fnmatch_lines(
        [f"hil: {reason}", "*ERROR at setup of test_one_more*", reason, f"{reason} (as before)"]
    )


def test_uart_garbage_and_console_echoes_are_no_incidents(suite: Suite) -> None:
    result = suite.run(
        """
        def test_garbage(board, console, shell):
            board.hardware.garbage(3000, seed=1)
            board.hardware.uart_send("debian@sim:~$ dmesg | grep 'Internal error: Oops'\\r\\n")
            shell.run("echo 'hil: done' > /dev/kmsg")
            console.expect("hil: done")
        """
    )
    result.assert_outcomes(passed=1)


def test_ordinary_failure_stays_what_it_is(suite: Suite) -> None:
    result = suite.run("def test_it(shell):\n    assert shell.run('uname').stdout == 'Minix'\n")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *assert 'Linux\\n' == 'Minix'*"])
    result.stdout.no_fnmatch_line("*hil-evidence*")


def test_a_reboot_of_which_the_console_says_nothing_fails_its_test(suite: Suite) -> None:
    result = suite.run(
        """
        import time

        def test_silent(board):
            board.hardware.mute_uart()
            board.hardware.reboot()
            while not board.hardware.status()["booted"]:
                time.sleep(0.02)
            board.hardware.mute_uart(False)

        def test_next(board, shell):
            assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id
        """
    )
    result.assert_outcomes(failed=1, passed=1)
    (found,) = suite.incidents("test_silent")
    assert (found["kind"], found["fatal"]) == ("unexpected-reboot", True)
    assert "boot id" in found["hints"][0]

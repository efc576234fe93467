"""The console on a channel of the logic analyzer: everything works as with a serial port, but nothing can be sent."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.suite import Suite

BOARD_SUITE = Path(__file__).parents[1] / "hil"


def boards(fault: str = "none", *, samplerate: str = "1 MHz", baudrate: int = 115200) -> str:
    return f"""
[boards.mute]
boot_timeout_s = 20
[boards.mute.sim]
fault = "{fault}"
[boards.mute.console]
logic = "uart_tx"
baudrate = {baudrate}
[boards.mute.logic]
driver = "sim"
samplerate = "{samplerate}"
channels = {{ D0 = "uart_tx", D1 = "sync" }}
[boards.mute.module]
name = "shepherd"
"""


@pytest.fixture
def board_suite(suite: Suite) -> Suite:
    """The suite that a shepherd developer runs."""
    shutil.copytree(BOARD_SUITE, suite.pytester.path / "hil", ignore=shutil.ignore_patterns("__pycache__"))
    return suite


@pytest.mark.parametrize("samplerate", ["1 MHz", "4 MHz"])
def test_the_whole_board_suite_passes_with_the_analyzer_as_the_only_console(
    board_suite: Suite, samplerate: str
) -> None:
    board_suite.boards(boards(samplerate=samplerate))
    result = board_suite.again(board="mute")
    result.assert_outcomes(passed=10)
    result.stdout.no_fnmatch_line("*back after*")


def test_a_panic_fails_the_same_test_with_the_same_words_as_over_a_serial_port(suite: Suite) -> None:
    source = """
        import pytest
        def test_before(shell): shell.run("true")
        def test_unloads(kernel_module):
            kernel_module.load()
            kernel_module.unload()
        def test_after(shell, kernel_module): kernel_module.load()
    """
    found = {}
    for board, toml in (("sim-racy", None), ("mute", boards("racy"))):
        suite.boards(toml)
        result = suite.run(source, board=board)
        result.assert_outcomes(passed=2, failed=1)
        result.stdout.fnmatch_lines([f"hil: {board}: back after *"])
        (incident,) = suite.incidents("test_unloads")
        console = (suite.evidence["test_unloads"] / "console.txt").read_text()
        assert "Kernel panic - not syncing" in console
        found[board] = {key: incident[key] for key in ("kind", "fatal", "function", "module", "signature", "hints")}
        shutil.rmtree(suite.pytester.path / "hil-evidence")
    assert found["mute"] == found["sim-racy"]
    assert found["mute"]["function"] == "pru0_comm_receive_msg"


def test_nothing_can_be_sent_and_that_is_said(suite: Suite) -> None:
    suite.boards(boards())
    result = suite.run(
        """
        import pytest
        from pytest_shepherd_hil.errors import ConsoleError

        def test_it(console):
            with pytest.raises(ConsoleError, match="console on logic channel uart_tx is read only.*cannot send b'x'"):
                console.send("x")
            with pytest.raises(ConsoleError, match="read only.*cannot send a BREAK"):
                console.send_break()
        """,
        board="mute",
    )
    result.assert_outcomes(passed=1)


def test_a_hang_is_pictured_through_the_shell(suite: Suite) -> None:
    suite.boards(boards())
    result = suite.run(
        """
        import pytest
        @pytest.mark.timeout(3, func_only=True)
        def test_hangs(shell): shell.run("sleep 60", timeout_s=70)
        def test_next(shell): shell.run("true")
        """,
        board="mute",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Show Blocked State", "*Show backtrace of all active CPUs", "*Show State"])


def test_a_wire_that_is_cut_is_a_lost_console_whose_kernel_was_asked_through_the_shell(suite: Suite) -> None:
    suite.boards(boards())
    result = suite.run(
        """
        def test_cut(board): board.hardware.mute_uart()
        def test_next(board, shell): shell.run("true")
        """,
        board="mute",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (incident,) = [one for one in suite.incidents("test_cut") if one["kind"] == "console-lost"]
    assert "the shell still answers" in incident["hints"][0]
    assert "did not answer SysRq through its shell" in incident["hints"][0]


def test_a_dead_kernel_that_will_not_reboot_is_power_cycled_at_once(suite: Suite) -> None:
    suite.boards(boards())
    result = suite.run(
        """
        def test_panics(board, shell):
            shell.run("echo 0 > /proc/sys/kernel/panic")
            board.hardware.panic()
            shell.run("sleep 60", timeout_s=70)
        def test_next(board): print("CAUSE", board.boots[-1].cause)
        """,
        "-rP",
        board="mute",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["CAUSE power cycle"])
    result.stdout.no_fnmatch_line("*SysRq b*")


def test_a_living_board_without_power_that_does_not_reboot_is_told_to_through_its_shell(suite: Suite) -> None:
    suite.boards(boards())
    result = suite.run(
        """
        from pytest_shepherd_hil.errors import CommandFailedError

        def test_oopses(board, monkeypatch):
            board._power = None
            run = board.shell.run
            def refuse(command, **options):
                if command == "reboot":
                    raise CommandFailedError("reboot: not found")
                return run(command, **options)
            board.shell.run = refuse
            board.hardware.printk("shprd.k: mem corruption?")
        def test_next(board): print("CAUSE", board.boots[-1].cause)
        """,
        "-rP",
        board="mute",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["hil: mute: SysRq b through its shell, *", "CAUSE SysRq b"])


def test_an_analyzer_that_is_unplugged_is_a_lost_console_and_the_run_goes_on_when_it_is_back(suite: Suite) -> None:
    suite.boards(boards())
    result = suite.run(
        """
        import threading, time
        def test_unplugged(board, shell):
            threading.Timer(1.5, board.hardware.plug_probe).start()
            board.hardware.unplug_probe()
            shell.run("sleep 30", timeout_s=40)
        def test_next(board, shell, console):
            shell.run("echo '<4>hello again' > /dev/kmsg")
            console.expect("hello again")
        """,
        board="mute",
    )
    result.assert_outcomes(passed=1, failed=1)
    (incident,) = suite.incidents("test_unplugged")
    assert (incident["kind"], incident["fatal"]) == ("console-lost", True)
    assert "console lost: on logic channel uart_tx is gone" in incident["headline"]
    result.stdout.fnmatch_lines(
        ["hil: mute: waiting for console on logic channel uart_tx, *", "hil: mute: back after *"]
    )


def test_captures_and_recordings_are_of_the_console_s_own_samples(suite: Suite) -> None:
    suite.boards(boards())
    result = suite.run(
        """
        def test_it(logic, shell, console):
            with logic.recording() as recording:
                shell.run("echo '<4>while recording' > /dev/kmsg")
                console.expect("while recording")
            assert "while recording" in recording.capture.uart("uart_tx").text
            assert recording.capture.first_sample > 0
            later = logic.capture(seconds=0.1)
            assert later.first_sample > recording.capture.first_sample
            assert "while recording" in logic.snapshot().uart("uart_tx").text
        """,
        board="mute",
    )
    result.assert_outcomes(passed=1)


def test_a_wrong_baud_rate_is_measured(suite: Suite) -> None:
    suite.boards(boards(baudrate=57600))
    result = suite.run("def test_it(console): pass\n", board="mute")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*did not come out of console on logic channel uart_tx at 57600 baud*"])
    result.stdout.fnmatch_lines(["*wrong baud rate? Measured: 115200 baud, parity none*"])


def test_too_few_samples_a_bit_are_refused_with_the_reason(suite: Suite) -> None:
    suite.boards(boards(samplerate="500 kHz"))
    result = suite.run("def test_it(console): pass\n", board="mute")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*console on logic channel uart_tx: *only 4.3 samples a bit at 115200 baud*"])


def test_samples_that_were_overrun_are_said_at_the_end(suite: Suite) -> None:
    suite.boards(boards())
    result = suite.run("def test_it(board): board.link.port.lost_samples += 2_500_000\n", board="mute")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["hil: mute: 2.5 s of console on logic channel uart_tx were overrun, * set a larger ring_mb in *"]
    )


def test_the_channel_called_uart_tx_says_what_the_serial_console_says(suite: Suite) -> None:
    result = suite.run(
        """
        def test_both_say_the_same(console, logic, shell):
            with logic.console() as seen:
                shell.run("echo hello > /dev/kmsg")
                console.expect("hello")
                seen.expect("hello")
        """
    )
    result.assert_outcomes(passed=1)

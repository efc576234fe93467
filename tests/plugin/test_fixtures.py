"""The fixtures, as a test's author meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_shepherd_hil.sim.process import SimProcess
    from tests.suite import Suite


def test_shell_runs_commands(suite: Suite) -> None:
    result = suite.run(
        """
        import threading
        import pytest
        from pytest_shepherd_hil.errors import CommandFailedError, CommandTimeoutError

        def test_result(shell):
            result = shell.run("echo out; echo err >&2; false", check=False)
            assert (result.stdout, result.stderr, result.exit_status) == ("out\\n", "err\\n", 1)
            assert not result.ok
            assert 0 < result.duration_s < 5

        def test_failure_quotes_command_board_and_output(shell):
            with pytest.raises(CommandFailedError) as caught:
                shell.run("echo something; cat /nowhere")
            for word in ("sim01", "`echo something; cat /nowhere`", "exit status 1", "something", "No such file"):
                assert word in str(caught.value)

        def test_what_the_board_lacks_is_not_run_here(shell):
            assert shell.run("python3 --version", check=False).exit_status == 127

        def test_sudo_is_the_boards_choice_and_can_be_left_out(shell):
            assert shell.run("id -un").stdout == "root\\n"
            assert shell.run("id -un", sudo=False).stdout == "debian\\n"

        def test_quotes_survive(shell):
            assert shell.run("echo 'a  b' \\"c'd\\"").stdout == "a  b c'd\\n"

        def test_time_out_names_the_command_and_what_it_had_said_and_the_shell_goes_on(shell):
            with pytest.raises(CommandTimeoutError) as caught:
                shell.run("echo begun; sleep 30", timeout_s=0.7)
            assert "`echo begun; sleep 30` did not end within 0.7 s" in str(caught.value)
            assert "begun" in str(caught.value)
            assert shell.run("echo on").stdout == "on\\n"

        def test_no_call_without_a_time_out(shell):
            with pytest.raises(ValueError):
                shell.run("true", timeout_s=0)

        def test_from_a_second_thread(shell):
            results = []
            threads = [threading.Thread(target=lambda i=i: results.append(shell.run(f"sleep 0.2; echo {i}").stdout))
                       for i in range(6)]
            for thread in threads: thread.start()
            assert shell.run("echo main").stdout == "main\\n"
            for thread in threads: thread.join(10)
            assert sorted(results) == [f"{i}\\n" for i in range(6)]
        """
    )
    result.assert_outcomes(passed=8)


def test_shell_comes_back_after_its_connection_broke(suite: Suite) -> None:
    result = suite.run(
        """
        import threading, time
        import pytest
        from pytest_shepherd_hil.errors import ShellError

        @pytest.mark.parametrize("how", ["reset", "close"])
        def test_broken(board, shell, how):
            threading.Timer(0.5, board.hardware.ssh, [how]).start()
            with pytest.raises(ShellError, match="broke during `sleep 20`"):
                shell.run("sleep 20")
            assert shell.run("echo again").stdout == "again\\n"
        """
    )
    result.assert_outcomes(passed=2)


def test_console_of_a_test_starts_where_the_test_starts(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        from pytest_shepherd_hil.errors import ConsoleError

        def test_first(shell, console):
            shell.run("echo '<4>hil: first' > /dev/kmsg")
            assert console.expect(r"hil: (fi\\w+)").group(1) == "first"
            assert [line.message for line in console.lines()] == ["hil: first"]
            assert console.kernel_time == console.lines()[0].kernel_time_s

        def test_second(shell, console):
            with pytest.raises(ConsoleError, match="did not come out of the console within 0.5 s"):
                console.expect("hil: first", timeout_s=0.5)
            shell.run("echo '<4>hil: second' > /dev/kmsg")
            console.expect("hil: second")
            with pytest.raises(ConsoleError) as caught:
                console.expect("hil: second", timeout_s=0.2)
            assert "hil: second" in str(caught.value)  # it shows what came

        def test_typing_and_break(console):
            console.send("\\n")
            console.expect("(login:|[$#]) $", timeout_s=5)
            console.send_break()
            console.send("h")
            console.expect("sysrq: .*HELP")

        def test_a_line_that_the_kernel_keeps_back_is_found(board, console):
            board.hardware.printk("shprd.k: last words", newline=False)
            assert console.expect("last words", timeout_s=5)
        """
    )
    result.assert_outcomes(passed=4)


def test_kernel_module_is_verified_and_not_assumed(suite: Suite) -> None:
    text = (
        '[boards.sim01]\n[boards.sim01.sim]\n[boards.sim01.module]\nname = "shepherd"\nload = "true"\nunload = "true"\n'
    )
    suite.boards(text)
    result = suite.run(
        """
        import pytest
        from pytest_shepherd_hil.errors import ModuleError

        def test_load(kernel_module):
            with pytest.raises(ModuleError, match="`true` ended with exit status 0, but /proc/modules does not"):
                kernel_module.load()

        def test_unload(kernel_module, shell):
            shell.run("modprobe -a shepherd")
            assert kernel_module.is_loaded
            with pytest.raises(ModuleError, match="still lists shepherd"):
                kernel_module.unload()

        def test_command_that_fails(board):
            with pytest.raises(ModuleError, match="could not load nonesuch(.|\\n)*FATAL: Module nonesuch not found"):
                board.module("nonesuch").load()
        """
    )
    result.assert_outcomes(passed=3)


def test_logic_captures_and_saves(suite: Suite) -> None:
    result = suite.run(
        """
        from pytest_shepherd_hil.logic.capture import Capture

        def test_capture(logic, kernel_module, shell, tmp_path):
            kernel_module.load()
            capture = logic.capture(seconds=0.5)
            assert capture.samplerate == 1_000_000
            assert capture.channels == ("D0", "D1")
            assert len(capture) == 500_000
            assert 9 <= len(capture.edges("sync")) <= 11  # 10 Hz for half a second
            capture.save(tmp_path / "x.sr")
            assert Capture.load(tmp_path / "x.sr").samples == capture.samples
            with logic.recording() as recording:
                shell.run("echo '<4>hil: on the wire' > /dev/kmsg")
            assert "hil: on the wire" in recording.capture.uart("D0", baudrate=115200).text
        """
    )
    result.assert_outcomes(passed=1)


def test_what_the_board_lacks_skips_with_the_missing_tables_name(suite: Suite) -> None:
    suite.boards("[boards.bare]\n[boards.bare.sim]\n")
    result = suite.run("def test_a(logic): pass\ndef test_b(kernel_module): pass\n", "-rs", board="bare")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines_random(
        ["*board bare has no logic: its [[]boards.bare.logic] is missing*", "*[[]boards.bare.module] is missing*"]
    )


def test_a_board_like_a_real_one_is_used_as_a_real_one(suite: Suite, bench: SimProcess) -> None:
    """Serial port, SSH address and a power command: what boards.toml says of a BeagleBone."""
    result = suite.run(
        """
        import pytest
        def test_loads(kernel_module): kernel_module.load()
        def test_panics(shell, console):
            shell.run("echo c > /proc/sysrq-trigger", timeout_s=20)
        def test_is_back(kernel_module):
            assert not kernel_module.is_loaded
        """,
        board="bench",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["hil: bench: waiting for the reboot that its kernel announced, *", "hil: bench: back after *"]
    )
    # the loglevel is as it was before
    source = "def test_it(shell): assert shell.run('cat /proc/sys/kernel/printk').stdout.split()[0] == '8'"
    after = suite.run(source, board="bench")
    after.assert_outcomes(passed=1)
    after.stdout.fnmatch_lines(["hil: bench: set for this run: console loglevel from 4 to 8, *"])

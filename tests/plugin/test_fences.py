"""The end of a test's window: a line that must come out of the console, and what is said where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import bench_toml

if TYPE_CHECKING:
    from pytest_shepherd_hil.sim.process import SimProcess
    from tests.suite import Suite


def test_fences_cost_one_ssh_channel_for_a_whole_run(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        opened = []

        @pytest.fixture(autouse=True)
        def counted(board, monkeypatch):
            original = board.shell.stream
            monkeypatch.setattr(board.shell, "stream", lambda *args: opened.append(args) or original(*args))

        @pytest.mark.parametrize("number", range(10))
        def test_many(board, number): pass

        def test_none_was_opened_again(board):
            assert opened == []
            assert sum("hil: fence" in line.text for line in board.log.lines()) >= 11
            assert not any("kmsg" in call.command for call in board.shell.calls)
        """
    )
    result.assert_outcomes(passed=11)


@pytest.mark.parametrize("how", ["reset", "close"])
def test_fences_go_on_after_their_connection_broke(suite: Suite, how: str) -> None:
    result = suite.run(
        f"""
        def test_breaks(board): board.hardware.ssh("{how}")
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=2)


def test_fences_go_on_where_no_process_can_stay(suite: Suite) -> None:
    result = suite.run(
        """
        from pytest_shepherd_hil.errors import ShellError
        def test_one(board, monkeypatch):
            def refuse(*_): raise ShellError("no more channels")
            board.fences._kmsg.close()
            board.shell.stream = refuse
        def test_two(board, console):
            assert board.fences.cross(lambda: False) is not None
            console.expect("hil: fence")
        """
    )
    result.assert_outcomes(passed=2)


def test_a_lost_fence_shows_what_a_hung_kernel_still_says(suite: Suite) -> None:
    result = suite.run(
        """
        def test_hangs(board, shell):
            shell.run("true")
            board.hardware.hang()
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    (incident,) = suite.incidents("test_hangs")
    assert (incident["kind"], incident["fatal"]) == ("console-lost", True)
    said = "\n".join(incident["lines"])
    assert "Show Blocked State" in said
    assert "Show backtrace of all active CPUs" in said
    assert "last said something" in incident["hints"][0]
    assert "the kernel answered BREAK and SysRq" in incident["hints"][0]


def test_a_fence_lost_on_a_cut_wire_says_that_the_shell_answers(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        def test_cut(board):
            board.hardware.mute_uart()
        @pytest.fixture(autouse=True, scope="module")
        def mended(board):
            yield
        """
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (incident,) = [one for one in suite.incidents("test_cut") if one["kind"] == "console-lost"]
    assert not incident["fatal"]
    assert "the shell still answers" in incident["hints"][0]
    assert "did not answer BREAK and SysRq" in incident["hints"][0]


def test_a_board_without_a_shell_says_that_a_pause_ended_its_tests(suite: Suite, bench: SimProcess) -> None:
    toml = bench_toml(bench)
    console = toml[toml.index("[boards.bench.console]") : toml.index("[boards.bench.module]")]
    suite.boards(f"[boards.bench]\n{console}")
    result = suite.run("def test_it(console): pass\n", board="bench")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["board bench has no shell to write a fence with: each test ended with a pause of 0.2 s*"]
    )


def test_a_fence_whose_bytes_got_lost_is_written_once_more(suite: Suite) -> None:
    result = suite.run(
        """
        import time

        def test_loses_one(board):
            write = board.fences._kmsg.write

            def lossy(line, *rest):
                board.fences._kmsg.write = write
                board.hardware.mute_uart()
                boot_id = write(line, *rest)
                time.sleep(0.5)
                board.hardware.mute_uart(False)
                board.hardware.printk("the console talks on")
                return boot_id

            board.fences._kmsg.write = lossy

        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=2)
    (log,) = (suite.pytester.path / "hil-evidence").glob("*/console-sim01.log")
    assert b"the console talks on" in log.read_bytes()

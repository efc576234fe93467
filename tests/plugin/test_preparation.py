"""What is done to a board before the first test, and put back after the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import bench_toml

if TYPE_CHECKING:
    from pytest_shepherd_hil.sim.process import SimProcess
    from tests.suite import Suite

READ = "cat /proc/sys/kernel/printk /proc/sys/kernel/panic /proc/sys/kernel/sysrq /proc/sys/kernel/panic_on_oops"


def with_keys(toml: str, keys: str, *, module: str = "") -> str:
    head, table, rest = toml.partition("boot_timeout_s")
    return f"{head}{keys}\n{table}{rest}".replace('name = "shepherd"\n', f'name = "shepherd"\n{module}\n')


def test_settings_are_made_for_the_run_and_put_back_at_its_end(suite: Suite, bench: SimProcess) -> None:
    suite.boards(with_keys(bench_toml(bench), "panic_on_oops = true"))
    source = f"def test_it(shell): print('NOW', shell.run('{READ}').stdout.split())\n"
    first = suite.run(source, "-rP", board="bench")
    first.assert_outcomes(passed=1)
    first.stdout.fnmatch_lines(
        [
            "hil: bench: set for this run: * 4 to 8, kernel.panic from 0 to 1, kernel.panic_on_oops from 0 to 1",
            "NOW [[]'8', '4', '1', '7', '1', '1', '1']",
        ]
    )
    first.stdout.fnmatch_lines(["hil: bench: put back console loglevel 4, kernel.panic 0, kernel.panic_on_oops 0"])
    again = suite.again(board="bench")
    again.stdout.fnmatch_lines(["hil: bench: set for this run: console loglevel from 4 to 8, kernel.panic from 0 *"])


def test_settings_are_made_again_on_the_new_boot(suite: Suite) -> None:
    result = suite.run(
        f"""
        def test_panics(shell): shell.run("echo c > /proc/sysrq-trigger", timeout_s=20)
        def test_next(shell): assert shell.run("{READ}").stdout.split()[:1] == ["8"]
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    assert result.stdout.str().count("hil: sim01: set for this run: console loglevel from 4 to 8") == 1


def test_a_board_whose_settings_may_not_be_changed_says_what_it_takes(suite: Suite, bench: SimProcess) -> None:
    suite.boards(bench_toml(bench, sudo=False))
    result = suite.run("def test_it(shell): pass\n", board="bench")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["board bench: the console's loglevel is 4 and cannot be raised to 8 *sudo = true in [[]boards.bench.ssh][?]"]
    )


def test_prepare_commands_run_after_each_boot(suite: Suite, bench: SimProcess) -> None:
    suite.boards(with_keys(bench_toml(bench), """prepare = ["echo '<4>prepared' > /dev/kmsg"]"""))
    result = suite.run(
        """
        def test_panics(shell):
            assert "prepared" in shell.run("dmesg").stdout
            shell.run("echo c > /proc/sysrq-trigger", timeout_s=20)
        def test_next(shell): assert shell.run("dmesg").stdout.count("prepared") == 1
        """,
        board="bench",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["hil: bench: prepare: `echo '<4>prepared' > /dev/kmsg`"])


def test_prepare_command_that_fails_is_one_error_that_names_it(suite: Suite, bench: SimProcess) -> None:
    suite.boards(with_keys(bench_toml(bench), 'prepare = ["echo busy; false"]'))
    result = suite.run("def test_it(shell): pass\ndef test_two(shell): pass\n", board="bench")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "board bench: a command of its 'prepare' in boards.toml failed",
            "*`echo busy; false` ended with exit status 1*",
            "  stdout: busy",
        ]
    )


def test_before_unload_runs_before_the_module_goes_and_only_if_it_is_there(suite: Suite, bench: SimProcess) -> None:
    command = """before_unload = ["grep -q '^shepherd ' /proc/modules && echo '<4>let go' > /dev/kmsg"]"""
    suite.boards(with_keys(bench_toml(bench), "", module=command))
    result = suite.run(
        """
        def test_it(kernel_module, shell):
            kernel_module.unload()
            assert "let go" not in shell.run("dmesg").stdout
            kernel_module.load()
            kernel_module.unload()
            assert shell.run("dmesg").stdout.count("let go") == 1
        """,
        board="bench",
    )
    result.assert_outcomes(passed=1)


def test_before_unload_that_fails_is_the_modules_error(suite: Suite, bench: SimProcess) -> None:
    suite.boards(with_keys(bench_toml(bench), "", module='before_unload = ["systemctl stop shepherd"]'))
    result = suite.run(
        "def test_it(kernel_module):\n    kernel_module.reload()\n    kernel_module.unload()\n", board="bench"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*board bench: a command of 'before_unload' of shepherd failed"])


def test_what_runs_on_the_board_is_kept_with_the_evidence(suite: Suite) -> None:
    result = suite.run(
        """
        def test_loads(kernel_module): kernel_module.load()
        def test_panics(shell): shell.run("echo c > /proc/sysrq-trigger", timeout_s=20)
        def test_next(board): print("BOOT", board.boot_id)
        """,
        "-rP",
    )
    result.assert_outcomes(passed=2, failed=1)
    (run,) = (suite.pytester.path / "hil-evidence").iterdir()
    text = (run / "board.txt").read_text()
    assert "boot 1: power on\n" in text
    assert "boot 2: " in text
    assert text.count("Linux version 4.19.94-ti-r73") == 2
    assert "srcversion:     5E4C8BB4DA1F0B4C7A9B3F2" in text
    assert "am335x-pru0-shepherd-fw" in text
    (boot,) = [line.removeprefix("BOOT ") for line in result.outlines if line.startswith("BOOT ")]
    assert f"boot id: {boot}\n" in text


@pytest.mark.parametrize("keys", ["panic_on_oops = 1", "prepare = 'x'", "prepare = ['']"])
def test_wrong_preparation_in_boards_toml_is_a_usage_error(suite: Suite, bench: SimProcess, keys: str) -> None:
    suite.boards(with_keys(bench_toml(bench), keys))
    result = suite.run("def test_it(shell): pass\n", board="bench")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *boards.toml: board bench: key '{keys.partition(' ')[0]}*'*"])

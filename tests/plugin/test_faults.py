"""What hardware does to a run: each fault ends in a clear word about the right test, and the next test goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.sim.process import SimProcess
from tests.plugin.conftest import bench_toml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.suite import Suite

NEXT = """
def test_next(board, shell, console):
    assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id
    shell.run("echo 'still here' > /dev/kmsg")
    console.expect("still here")
"""


@pytest.fixture
def fast_bench(suite: Suite) -> Iterator[SimProcess]:
    """A bench whose UART runs at 3 Mbaud."""
    with SimProcess.start(baudrate=3_000_000) as sim:
        suite.boards(bench_toml(sim))
        suite.pytester.makeconftest(
            f"""
            import pytest
            from pytest_shepherd_hil.sim.control import SimControl
            @pytest.fixture
            def wire(): return SimControl({str(sim.control.path)!r})
            """
        )
        yield sim


# the UART


@pytest.mark.parametrize("phase", ["setup", "teardown"])
def test_uart_unplugged_in_a_fixture_and_back_again(suite: Suite, phase: str) -> None:
    before, after = ("unplugged(board)", "") if phase == "setup" else ("", "unplugged(board)")
    result = suite.run(
        f"""
        import pytest, threading, time

        def unplugged(board):
            threading.Timer(1.5, board.hardware.plug_uart).start()
            board.hardware.unplug_uart()
            time.sleep(60)

        @pytest.fixture
        def fixture(board):
            {before}
            yield
            {after}

        def test_it(fixture): pass
        """,
        then=NEXT,
    )
    result.assert_outcomes(passed=2 if phase == "teardown" else 1, errors=1)
    result.stdout.fnmatch_lines([f"*ERROR at {phase} of test_it*", "console lost: /*uart is gone: * (board sim01)"])
    result.stdout.no_fnmatch_line("*outside of*")
    (incident,) = suite.incidents("test_it")
    assert incident["kind"] == "console-lost"


def test_uart_unplugged_between_two_tests_and_back_again(suite: Suite) -> None:
    suite.between_tests(
        """
        BOARD.hardware.unplug_uart()
        while BOARD.dead is None: time.sleep(0.02)
        BOARD.hardware.plug_uart()
        """,
        after="test_first",
    )
    result = suite.run("def test_first(shell): shell.run('true')\n", then=NEXT)
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["outside of any test: console lost: *"])


NOISE = {
    "nuls": "wire.uart_send(b'\\0' * 400_000)",
    "a megabyte without a newline": "wire.uart_send('x' * 1_000_000)",
    "random bytes": "wire.garbage(300_000, seed=7)",
    "carriage returns": "wire.uart_send('\\r' * 300_000)",
    "terminal escapes": "wire.uart_send('\\x1b[2J\\x1b]0;' * 40_000)",
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_noise_of_any_kind_at_3_mbaud_is_no_incident_and_hides_none(
    suite: Suite, fast_bench: SimProcess, noise: str
) -> None:
    result = suite.run(
        f"""
        PRU = "shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!"

        def test_noise(wire, shell):
            {noise}
            shell.run("true")

        def test_incident_in_noise(wire, shell):
            {noise}
            for _ in range(5):  # a UART does not wait for a reader that is late: bytes may get lost
                shell.run(f"echo '<3>{{PRU}}' > /dev/kmsg")
        """,
        then=NEXT,
        board="bench",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_incident_in_noise - PRU did not answer *"])
    assert list(suite.evidence) == ["test_incident_in_noise"]


def test_a_flood_of_kernel_lines_at_3_mbaud_hides_nothing(suite: Suite, fast_bench: SimProcess) -> None:
    result = suite.run(
        """
        # a UART does not wait for a reader that is late, so what must not get lost is said several times
        FLOOD = [f"usb 1-1: device descriptor read/64, number {number}" for number in range(6000)]

        KNOWN = set(FLOOD)

        def test_flood(wire, console):
            wire.kernel_lines("\\n".join([*FLOOD, *["the flood is over"] * 500]))
            console.expect("the flood is over", timeout_s=60)
            seen = [line.message for line in console.lines() if line.message in KNOWN]
            assert len(seen) > 1000
            assert seen == sorted(seen, key=lambda text: int(text.rpartition(' ')[2]))

        def test_incident_in_a_flood(wire, shell):
            wire.kernel_lines("\\n".join([*FLOOD, *["shprd.k: mem corruption?"] * 5, *FLOOD]))
            shell.run("true")
        """,
        then=NEXT,
        board="bench",
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_incident_in_a_flood - shepherd: mem corruption*"])


# the network


@pytest.mark.parametrize("mode", ["close", "reset"])
def test_ssh_that_ends_during_a_command_is_an_ordinary_error_of_it(suite: Suite, mode: str) -> None:
    result = suite.run(
        f"""
        import pytest, threading
        from pytest_shepherd_hil.errors import ShellError
        def test_ends(board, shell):
            shell.run("true")
            threading.Timer(0.5, board.hardware.ssh, ["{mode}"]).start()
            with pytest.raises(ShellError, match="broke during `sleep 60`"):
                shell.run("sleep 60", timeout_s=70)
        """,
        then=NEXT,
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("mode", "word"),
    [("refuse", "refused"), ("silent", "silent"), ("garbage", "no SSH server"), ("mute", "silent")],
)
def test_ssh_that_is_gone_for_a_while_says_how_and_the_run_goes_on(suite: Suite, mode: str, word: str) -> None:
    result = suite.run(
        f"""
        import pytest
        from pytest_shepherd_hil.errors import ShellError
        def test_gone(board, shell):
            shell.run("true")
            board.hardware.ssh("{mode}")
            board.hardware.ssh("reset")
            try:
                for _ in range(5):  # it may still try the old connection
                    with pytest.raises(ShellError) as caught:
                        shell.run("true", timeout_s=3)
                    if "{word}" in str(caught.value):
                        break
                else:
                    pytest.fail(str(caught.value))
            finally:
                board.hardware.ssh("ok")
        """,
        then=NEXT,
    )
    result.assert_outcomes(passed=2)


def test_ssh_that_stays_gone_is_a_lost_fence_and_then_a_board_that_does_not_come_back(suite: Suite) -> None:
    suite.boards("[boards.short]\nboot_timeout_s = 2\n[boards.short.sim]\n")
    result = suite.run(
        """
        import pytest
        @pytest.fixture(autouse=True)
        def stays_gone(board):
            cut, board.cut_power = board.cut_power, lambda: (cut(), board.hardware.ssh("refuse"))
        def test_gone(board):
            board.hardware.ssh("refuse")
            board.hardware.ssh("reset")
        def test_next(shell): pass
        """,
        board="short",
    )
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines_random(
        [
            "fence lost: the shell took no line for /dev/kmsg: *refused*(board short)",
            "board short did not come back within 2 s (boot_timeout_s) after: fence lost*",
        ]
    )


# the kernel


def test_a_reboot_without_a_warning_fails_its_test_at_once(suite: Suite) -> None:
    result = suite.run(
        """
        import time
        def test_reboots(board, shell):
            shell.run("true")
            board.hardware.reboot()
            time.sleep(60)
        """,
        then=NEXT,
    )
    result.assert_outcomes(passed=1, failed=1)
    (incident,) = suite.incidents("test_reboots")
    assert (incident["kind"], incident["fatal"]) == ("unexpected-reboot", True)


def test_a_panic_within_a_panic_is_one_failure(suite: Suite) -> None:
    result = suite.run(
        """
        import time
        def test_panics(board):
            board.hardware.panic()
            for _ in range(3):
                board.hardware.printk("Kernel panic - not syncing: Attempted to kill init! exitcode=0xb", 0)
                board.hardware.printk("Unable to handle kernel NULL pointer dereference at virtual address 00000004", 0)
                time.sleep(0.3)
            time.sleep(60)
        """,
        then=NEXT,
    )
    result.assert_outcomes(passed=1, failed=1)
    assert all(incident["fatal"] for incident in suite.incidents("test_panics")[:1])


def test_a_panic_while_it_is_brought_back_is_nobodys(suite: Suite) -> None:
    suite.boards(
        """
        [boards.loops]
        prepare = ["test ! -e /sys/fs/pstore/dmesg-ramoops-0 || echo c > /proc/sysrq-trigger"]
        [boards.loops.sim]
        """
    )
    source = 'def test_panics(shell): shell.run("echo c > /proc/sysrq-trigger", timeout_s=70)\n'
    result = suite.run(source, then=NEXT, board="loops")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "hil: loops: its own reboot after a panic did not bring it back: *",
            "hil: loops: power cycle, *",
            "hil: loops: back after *",
        ]
    )
    assert len(suite.incidents("test_panics")) == 1


def test_a_board_that_panics_whenever_it_has_booted_is_given_up(suite: Suite) -> None:
    suite.boards(
        """
        [boards.loops]
        boot_timeout_s = 5
        prepare = ["test ! -e /sys/fs/pstore/dmesg-ramoops-0 || echo c > /proc/sysrq-trigger"]
        [boards.loops.sim]
        """
    )
    result = suite.run(
        """
        def test_panics(board, shell):
            board.cut_power = lambda: None  # which would make its memory forget the first
            shell.run("echo c > /proc/sysrq-trigger", timeout_s=70)
        def test_next(shell): pass
        def test_last(shell): pass
        """,
        board="loops",
    )
    result.assert_outcomes(failed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*ERROR at setup of test_next*", "board loops did not come back *", "board loops did not *(as before)"]
    )


# the disk


def test_a_disk_that_is_full_costs_evidence_and_no_verdict(suite: Suite, fast_bench: SimProcess) -> None:
    suite.pytester.path.joinpath("full.py").write_text(
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
    )
    result = suite.run(
        """
        import time
        import full  # no file can grow beyond 100 kB from here on
        def test_panics(wire, console, shell):
            wire.kernel_lines("\\n".join(["something else that the kernel has to say"] * 4000 + ["said"] * 500))
            console.expect("said$", timeout_s=60)
            shell.run("echo c > /proc/sysrq-trigger", timeout_s=70)
        """,
        then=NEXT,
        board="bench",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "kernel oops*(board bench)",
            "could not write */test_it.py-test_panics-*/console.txt: File too large",
            "*the console log is incomplete: *File too large*",
        ]
    )


def test_a_disk_that_is_read_only_is_one_clear_error(suite: Suite) -> None:
    result = suite.run("def test_it(shell): pass\n", "--hil-evidence", "/proc/self/evidence")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["cannot make the evidence folder /proc/self/evidence: *; choose another with *"])


def test_an_evidence_folder_that_goes_away_costs_evidence_and_no_verdict(suite: Suite) -> None:
    result = suite.run(
        """
        import shutil, time
        from pathlib import Path
        def test_panics(board, shell):
            (run,) = Path("hil-evidence").iterdir()
            shutil.rmtree(run)
            run.write_text("a file")
            shell.run("echo c > /proc/sysrq-trigger", timeout_s=70)
        """,
        then=NEXT,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["could not write *console.txt: Not a directory"])

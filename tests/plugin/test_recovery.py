"""A board that died comes back: by its own reboot, by SysRq, by its power; or the run says that it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import bench_toml

if TYPE_CHECKING:
    from pytest_shepherd_hil.sim.process import SimProcess
    from tests.suite import Suite

NEXT = """
def test_next(board, shell):
    assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id
    print("CAUSE", board.boots[-1].cause)
"""
PANIC = """
def test_panics(board, shell):
    shell.run("echo {seconds} > /proc/sys/kernel/panic")
    board.hardware.panic()
    shell.run("sleep 60", timeout_s=70)
"""


def cause(result: pytest.RunResult) -> str:
    (found,) = [line.removeprefix("CAUSE ") for line in result.outlines if line.startswith("CAUSE ")]
    return found


def test_a_reboot_that_the_kernel_announced_is_waited_for(suite: Suite) -> None:
    result = suite.run(PANIC.format(seconds=2) + NEXT, "-rP")
    result.assert_outcomes(passed=1, failed=1)
    assert cause(result) == "its own reboot after a panic"
    result.stdout.fnmatch_lines(
        ["hil: sim01: waiting for the reboot that its kernel announced, at most 32 s", "hil: sim01: back after *"]
    )


def test_a_dead_kernel_that_will_not_reboot_is_told_to_with_sysrq(suite: Suite) -> None:
    result = suite.run(PANIC.format(seconds=0) + NEXT, "-rP")
    result.assert_outcomes(passed=1, failed=1)
    assert cause(result) == "SysRq b"
    result.stdout.fnmatch_lines(["hil: sim01: BREAK and SysRq b, at most 30 s", "hil: sim01: back after *"])


def test_power_is_cycled_where_sysrq_does_nothing(suite: Suite) -> None:
    result = suite.run(
        """
        def test_panics(board, shell):
            shell.run("echo 0 > /proc/sys/kernel/sysrq; echo 0 > /proc/sys/kernel/panic")
            board.hardware.panic()
            shell.run("sleep 60", timeout_s=70)
        """,
        "-rP",
        then=NEXT,
    )
    result.assert_outcomes(passed=1, failed=1)
    assert cause(result) == "power cycle"
    result.stdout.fnmatch_lines(
        ["hil: sim01: SysRq b did not bring it back: the kernel did not answer *", "hil: sim01: power cycle, *"]
    )


def test_no_key_is_sent_while_a_boot_loader_may_be_counting_down(suite: Suite) -> None:
    suite.boards("[boards.quick]\nboot_timeout_s = 2\n[boards.quick.sim]\n")
    result = suite.run(
        """
        def test_falls_to_the_boot_loader(board, console):
            board.keys = keys = []
            board.link.sysrq = keys.append
            board.hardware.uart_send("U-Boot 2019.04 (Aug 24 2020)\\r\\nHit any key to stop autoboot:  2 \\r\\n")
            console.expect("autoboot")
            board.hardware.hang()
        def test_next(board):
            assert board.keys == []
            assert board.boots[-1].cause == "power cycle"
        """,
        board="quick",
    )
    result.assert_outcomes(passed=1, failed=1)


def test_a_hung_board_is_brought_back_by_sysrq(suite: Suite) -> None:
    result = suite.run("def test_hangs(board): board.hardware.hang()\n", "-rP", then=NEXT)
    result.assert_outcomes(passed=1, failed=1)
    assert cause(result) == "SysRq b"


def test_a_living_board_syncs_before_its_power_goes(suite: Suite) -> None:
    result = suite.run(
        """
        def test_pru(board, shell):
            board.hardware.printk("shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!")
            shell.run("sleep 60", timeout_s=70)
        def test_synced(board, shell):
            assert "sync" in [call.command for call in shell.calls]
        """,
        "-rP",
        then=NEXT,
    )
    result.assert_outcomes(passed=2, failed=1)
    assert cause(result) == "power cycle"


def test_a_living_board_without_a_power_backend_is_told_to_reboot(suite: Suite, bench: SimProcess) -> None:
    head, _, _ = bench_toml(bench).partition("[boards.bench.power]")
    suite.boards(head)
    result = suite.run(
        """
        def test_warns(shell):
            shell.run("echo '<4>shprd.k: mem corruption?' > /dev/kmsg; sleep 60", timeout_s=70)
        """,
        "-rP",
        then=NEXT,
        board="bench",
    )
    result.assert_outcomes(passed=1, failed=1)
    assert cause(result) == "reboot"


def test_last_words_that_survived_the_reset_are_kept_with_the_test(suite: Suite) -> None:
    result = suite.run(PANIC.format(seconds=1) + NEXT)
    result.assert_outcomes(passed=1, failed=1)
    text = (suite.evidence["test_panics"] / "pstore.txt").read_text()
    assert text.startswith("=== /sys/fs/pstore/dmesg-ramoops-0\n")
    assert "Unable to handle kernel NULL pointer dereference" in text
    assert not (suite.evidence["test_panics"] / "previous-boot.txt").exists()


def test_a_dead_board_is_kept_as_it_died_where_the_user_wants_it(suite: Suite, bench: SimProcess) -> None:
    result = suite.run(
        """
        def test_panics(shell): shell.run("echo c > /proc/sysrq-trigger", timeout_s=60)
        def test_two(shell): pass
        def test_three(shell): pass
        """,
        "--hil-keep-dead",
        board="bench",
    )
    result.assert_outcomes(failed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    reason = "board bench is left as it died (--hil-keep-dead): *(board bench)"
    result.stdout.fnmatch_lines([f"hil: {reason}", "*ERROR at setup of test_two*", reason, f"{reason} (as before)"])
    status = bench.control.status()
    assert status["panicked"]
    assert status["epoch"] == 1


def test_a_power_backend_of_another_package(suite: Suite, bench: SimProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = suite.pytester.mkdir("site")
    (folder / "lab_power.py").write_text(
        "from pytest_shepherd_hil.sim.control import SimControl\n"
        "class Hub:\n"
        "    def __init__(self, *, board, socket): self.control = SimControl(socket)\n"
        "    def cycle(self): self.control.power_cycle()\n"
        "class Broken:\n"
        "    def __init__(self, *, board): pass\n"
        "    def cycle(self): raise RuntimeError('no such hub')\n"
    )
    info = folder / "lab_power-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-power\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[pytest_shepherd_hil.power]\nlab-hub = lab_power:Hub\nbroken = lab_power:Broken\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    head, _, _ = bench_toml(bench).partition("[boards.bench.power]")
    suite.boards(f"{head}[boards.bench.power]\nbackend = 'lab-hub'\noptions = {{ socket = '{bench.control.path}' }}\n")
    result = suite.run(
        """
        def test_pru(board, shell):
            shell.run("echo '<4>shprd.k: mem corruption?' > /dev/kmsg; sleep 60", timeout_s=70)
        """,
        "-rP",
        then=NEXT,
        board="bench",
    )
    result.assert_outcomes(passed=1, failed=1)
    assert cause(result) == "power cycle"
    for backend, said in (
        ("lab-hup", "*power backend 'lab-hup' is not installed; there are: broken, lab-hub *"),
        ("lab-hub", "*power backend 'lab-hub' cannot be made: TypeError: *socket*"),
    ):
        suite.boards(f"{head}[boards.bench.power]\nbackend = '{backend}'\n")
        result = suite.again(board="bench")
        result.assert_outcomes(errors=2)
        result.stdout.fnmatch_lines([said])
    suite.boards(f"{head}[boards.bench.power]\nbackend = 'broken'\n")
    result = suite.again(board="bench")
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(["*power backend 'broken' failed: RuntimeError: no such hub*"])


def test_the_limit_of_a_test_does_not_cut_the_recovery_short(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest

        @pytest.mark.expect_incident("oops")
        def test_dies(board, shell):
            shell.run("sysctl -w kernel.panic=9", check=False)
            board.hardware.panic()
            shell.run("sleep 500", timeout_s=500)

        def test_is_watched_again(board, console, shell):
            assert board.dead is None
            assert shell.run("cat /proc/sys/kernel/printk").stdout.split()[0] == "8"
            shell.run("echo '<6>hello there' > /dev/kmsg")
            console.expect("hello there")
        """,
        "--timeout",
        "8",
    )
    result.assert_outcomes(passed=2)


def test_an_incident_in_teardown_leaves_other_fixtures_their_time(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time

        @pytest.fixture
        def supply():
            yield
            time.sleep(3)
            open("switched-off", "w").close()

        @pytest.fixture
        def rig(board, supply):
            yield
            board.hardware.printk("shprd.k: Faulty behavior - PRU did not answer to trigger-request in time!")
            time.sleep(500)

        def test_it(rig): pass
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    assert (suite.pytester.path / "switched-off").exists()

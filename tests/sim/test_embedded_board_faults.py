"""The three faults, with the words and times of the user's own logs."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest

import pytest_shepherd_hil.sim.logs as sim_logs
from tests.sim.sim_process import Bench, bench

LOGS = Path(sim_logs.__file__).parent
LINE = re.compile(r"\[ *(\d+\.\d+)\] (.*)")


def recorded(name: str) -> list[tuple[float, str]]:
    found = [LINE.fullmatch(line) for line in (LOGS / name).read_text().splitlines()]
    return [(float(match[1]), match[2]) for match in found if match]


def printed(board: Bench, start: int) -> list[tuple[float, str]]:
    text = board.console.data[start:].decode().replace("\r\n", "\n")
    return [(float(match[1]), match[2]) for match in map(LINE.fullmatch, text.splitlines()) if match]


def gaps(lines: list[tuple[float, str]]) -> list[float]:
    return [round(at - lines[0][0], 6) for at, _ in lines]


def raise_loglevel(board: Bench) -> None:
    assert board.run("sudo sysctl -w kernel.printk=8").ok


def reload(board: Bench) -> None:
    assert board.run("sudo modprobe -rf shepherd && sudo modprobe -a shepherd").ok


def cma_free(board: Bench) -> int:
    return int(board.run("grep CmaFree /proc/meminfo").stdout.split()[1])


def test_the_logs_are_the_users_own() -> None:
    panic, second = recorded("unload-panic.log"), recorded("cma-and-pru.log")
    assert (len(panic), panic[0], panic[-1][1][:24]) == (
        97,
        (942.5413, "Unable to handle kernel NULL pointer dereference at virtual address 000001c1"),
        "---[ end Kernel panic - ",
    )
    assert (len(second), second[0][0], second[-1]) == (16, 27.554353, (2152.001506, "shprd.k: Couldn't boot PRU0"))


def test_unloading_panics_with_the_words_and_times_of_the_log() -> None:
    with bench("racy") as board:
        assert board.run("sudo modprobe -a shepherd").ok
        start = board.console.mark
        begun = time.monotonic()
        assert board.never_ends("sudo modprobe -rf shepherd", within_s=1.5)
        board.console.wait_for("end Kernel panic", after=start)
        took_s = board.console.chunks[-1][0] - begun
        lines = printed(board, start)
        want = recorded("unload-panic.log")
        lines = lines[-len(want) :]
        assert [text for _, text in lines] == [text for _, text in want]
        assert gaps(lines) == pytest.approx(gaps(want), abs=2e-6)
        assert took_s > 0.75, "it is paced, not poured out"
        assert board.control.status()["panicked"]
        with pytest.raises(TimeoutError):
            socket.create_connection((board.sim.ssh.host, board.sim.ssh.port), 0.5)
        mark = board.console.mark
        board.console.send(b"hello\r")
        assert board.console.quiet(0.3), "a dead board echoes nothing"
        board.control.power_cycle()
        board.wait_booted(after=mark)
        board.hang_up()
        assert board.run("lsmod | grep -c shepherd").stdout == "0\n"


def test_a_panic_comes_at_the_unload_that_was_asked_for() -> None:
    with bench("racy", 2) as board:
        board.run("sudo modprobe -a shepherd")
        reload(board)
        board.console.wait_for("login: ")
        assert board.never_ends("sudo modprobe -rf shepherd", within_s=0.5)
        board.console.wait_for("Kernel panic - not syncing")


def test_sysrq_reboots_a_panicked_board() -> None:
    with bench() as board:
        board.control.panic()
        board.console.wait_for("end Kernel panic")
        start = board.console.mark
        board.control.send_break()
        board.console.send(b"b")
        board.wait_booted(after=start)


def test_sysrq_crashes_a_healthy_board() -> None:
    with bench() as board:
        board.control.send_break()
        board.console.send(b"c")
        board.console.wait_for("sysrq: SysRq : Trigger a crash")
        board.console.wait_for("PC is at sysrq_handle_crash")
        board.console.wait_for("end Kernel panic")
        assert board.control.status()["panicked"]


def test_a_board_told_to_reboot_after_a_panic_does() -> None:
    with bench() as board:
        assert board.run("sudo sysctl -w kernel.panic=1").ok
        board.control.panic()
        board.console.wait_for(r"Kernel panic - not syncing.*\n\[ *[\d.]+\] Rebooting in 1 seconds\.\.")
        start = board.console.mark
        begun = time.monotonic()
        board.wait_booted(after=start)
        assert 0.9 < time.monotonic() - begun < 3
        assert not board.control.status()["panicked"]


def test_power_can_be_cycled_at_any_moment() -> None:
    with bench() as board:
        for moment in range(12):
            board.control.power_cycle()
            if moment % 3 == 1:
                board.control.hang()
            if moment % 3 == 2:
                board.control.panic()
            board.console.quiet(moment * 0.02)
        start = board.console.mark
        board.control.power_cycle()
        board.wait_booted(after=start)
        assert board.control.status()["epoch"] == 14
        assert board.run("echo well").stdout == "well\n"


def test_a_reboot_mends_a_leak_as_memory_is_new() -> None:
    with bench("cma", 2) as board:
        board.run("sudo modprobe -a shepherd")
        reload(board)
        assert board.run("cat /sys/shepherd/state").exited == 1
        start = board.console.mark
        board.control.reboot()
        board.wait_booted(after=start)
        board.hang_up()
        assert board.run("sudo modprobe -a shepherd; cat /sys/shepherd/state").stdout == "idle\n"


def test_a_command_that_runs_in_a_panic_never_returns() -> None:
    with bench() as board:
        client = board.connect()
        client.open()
        assert client.transport is not None
        channel = client.transport.open_session(timeout=5)
        channel.exec_command("sleep 0.2; echo done")
        board.control.panic()
        assert not channel.status_event.wait(1)
        board.control.power_cycle()
        assert channel.status_event.wait(5)
        assert channel.recv_exit_status() == -1


def test_a_second_panic_of_a_dead_kernel_is_refused() -> None:
    with bench() as board:
        board.control.panic()
        with pytest.raises(Exception, match="kernel is dead already"):
            board.control.panic()


def test_the_third_load_finds_no_cma_memory() -> None:
    with bench("cma") as board:
        raise_loglevel(board)
        board.run("sudo modprobe -a shepherd")
        free = [cma_free(board)]
        reload(board)
        free.append(cma_free(board))
        assert board.run("cat /sys/shepherd/state").ok
        start = board.console.mark
        reload(board)
        free.append(cma_free(board))
        assert free[0] > free[1] > free[2]
        assert free[2] < 3811 * 4
        assert board.run("lsmod | grep -c ^shepherd").stdout == "1\n"
        assert board.run("cat /sys/shepherd/state").exited == 1
        assert board.run("cat /sys/class/remoteproc/remoteproc1/state").stdout == "offline\n"
        assert "Couldn't boot" not in board.console.data[start:].decode(), "held back: it has no newline"
        board.control.printk("flush", level=0)
        board.console.wait_for("flush")
        want = recorded("cma-and-pru.log")[8:12]
        lines = printed(board, start)
        at = [text for _, text in lines].index(want[0][1])
        assert [text for _, text in lines[at : at + 4]] == [text for _, text in want]
        assert gaps(lines[at : at + 4]) == pytest.approx(gaps(want), abs=2e-6)
        start = board.console.mark
        reload(board)
        board.console.wait_for("cma: cma_alloc: alloc failed, req-size: 3811 pages, ret: -16", after=start)
        board.control.power_cycle()
        board.hang_up()
        board.wait_booted(after=board.console.mark)
        assert board.run("sudo modprobe -a shepherd; cat /sys/shepherd/state").stdout == "idle\n"


def test_the_cma_line_hides_behind_the_usual_loglevel() -> None:
    with bench("cma", 1) as board:
        board.run("sudo modprobe -a shepherd")
        board.control.printk("flush", level=0)
        board.console.wait_for("flush")
        text = board.console.text
    assert "cma_alloc" not in text
    assert "pru-rproc 4a334000.pru: failed to allocate dma memory: len 0xee2800" in text
    assert "shprd.k: Couldn't boot PRU0" in text


def test_the_pru_does_not_answer_after_the_third_load() -> None:
    with bench("pru") as board:
        raise_loglevel(board)
        board.run("sudo modprobe -a shepherd")
        reload(board)
        start = board.console.mark
        reload(board)
        board.console.wait_for(r"Faulty behavior - PRU did not answer to trigger-request in time!\n", after=start)
        assert "forwards timestamp-jump" not in board.console.data[start:].decode()
        board.control.printk("flush", level=0)
        board.console.wait_for("flush", after=start)
        lines = printed(board, start)
        texts = [text for _, text in lines]
        want = recorded("cma-and-pru.log")[6:8]
        at = texts.index(want[0][1])
        assert texts[at + 1] == want[1][1]
        assert lines[at + 1][0] - lines[at][0] == pytest.approx(0.099, abs=1e-3)
        loaded = max(i for i, text in enumerate(texts) if text.startswith("shprd.k: test msg-pipelines"))
        assert not [text for text in texts[loaded:] if "[test passed]" in text]
        assert board.run("cat /sys/shepherd/state").stdout == "idle\n"

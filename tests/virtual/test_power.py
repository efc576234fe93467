"""Power, snapshot and ends of the virtual board, below everything else of ours."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.boards import SshConfig
from pytest_shepherd_hil.errors import BoardError, HilError, ShellError
from pytest_shepherd_hil.shell import Shell
from pytest_shepherd_hil.virtual.port import free_port
from pytest_shepherd_hil.virtual.process import VirtualProcess
from pytest_shepherd_hil.virtual.qemu import Image, Qemu
from tests.requirements import VIRTUAL_BOARD, require_all
from tests.sim.sim_process import Console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.virtual.build import Build

pytestmark = require_all(*VIRTUAL_BOARD)
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
RESTORES = 10


@pytest.fixture
def console(virtual: VirtualProcess) -> Iterator[Console]:
    made = Console(virtual.uart)
    yield made
    made.close()


def shell_of(board: VirtualProcess) -> Shell:
    ssh = board.ssh
    return Shell(
        SshConfig(host=ssh.host, port=ssh.port, user=ssh.user, key=ssh.key, known_hosts=ssh.known_hosts),
        board="virtual",
    )


def ask(board: VirtualProcess, command: str, within_s: float = 60.0) -> str:
    """What the board's shell says, on a new connection; waits until it is up."""
    deadline = time.monotonic() + within_s
    while True:
        shell = shell_of(board)
        try:
            return shell.run(command, timeout_s=10.0).stdout
        except ShellError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        finally:
            shell.close()


def qemus_of(pid: int) -> list[int]:
    """The QEMU processes that a board's process has."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in children for child in file.read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_end(pids: list[int], within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(map(is_running, pids)):
            return True
        time.sleep(0.02)
    return False


def test_each_power_cycle_is_another_boot_whose_time_starts_anew(virtual: VirtualProcess) -> None:
    seen = [ask(virtual, BOOT_ID)]
    first = float(ask(virtual, "cut -d' ' -f1 /proc/uptime"))
    for _ in range(RESTORES):
        virtual.control.power_cycle()
        seen.append(ask(virtual, BOOT_ID))
    assert len(set(seen)) == RESTORES + 1, seen
    ask(virtual, "sleep 3")
    before = float(ask(virtual, "cut -d' ' -f1 /proc/uptime"))
    virtual.control.power_cycle()
    after = float(ask(virtual, "cut -d' ' -f1 /proc/uptime"))
    assert after < before
    assert after == pytest.approx(first, abs=2.5)


def test_what_was_written_before_a_power_cycle_is_gone(virtual: VirtualProcess) -> None:
    ask(virtual, "echo mark > /tmp/mark; sync")
    virtual.control.power_cycle()
    assert "gone" in ask(virtual, "test -e /tmp/mark || echo gone")


def test_cold_boot_shows_the_kernels_own_first_words(virtual: VirtualProcess, console: Console) -> None:
    old = ask(virtual, BOOT_ID)
    virtual.control.cold_boot()
    console.wait_for("hil: board is ready", 60)
    assert ask(virtual, BOOT_ID) != old
    first = ask(virtual, "dmesg | head -1")
    assert "Booting Linux on physical CPU" in first


def test_board_without_power_is_gone_and_comes_back(virtual: VirtualProcess) -> None:
    ask(virtual, "true")
    virtual.control.power_off()
    assert virtual.control.status()["power"] == "off"
    assert qemus_of(virtual.pid) == []
    with pytest.raises(HilError):
        shell_of(virtual).run("true", timeout_s=2.0)
    with pytest.raises(BoardError, match="no power"):
        virtual.control.send_break()
    virtual.control.power_on()
    assert ask(virtual, "uname -m").strip() == "armv7l"


def test_board_that_switches_itself_off_has_no_power(virtual: VirtualProcess) -> None:
    ask(virtual, "poweroff -f &")
    deadline = time.monotonic() + 20
    while virtual.control.status()["power"] == "on":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    virtual.control.power_on()
    ask(virtual, "true")


def test_break_and_a_letter_are_a_sysrq(virtual: VirtualProcess, console: Console) -> None:
    ask(virtual, "echo 8 > /proc/sys/kernel/printk")
    virtual.control.send_break()
    console.port.write(b"w")
    console.wait_for(r"sysrq: Show Blocked State", 10)


def test_console_has_a_login(virtual: VirtualProcess, console: Console) -> None:
    ask(virtual, "true")
    console.port.write(b"\r")
    console.wait_for(r"login: ", 10)
    console.port.write(b"root\r")
    console.wait_for(r"# ", 10)
    console.port.write(b"echo $((6 * 7))x\r")
    console.wait_for(r"42x", 10)


def test_two_cpus_and_no_way_out(virtual: VirtualProcess) -> None:
    assert ask(virtual, "nproc").strip() == "2"
    listening = [
        line.split()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].partition(":")[2], 16) == virtual.ssh.port
    ]
    assert listening == [f"0100007F:{virtual.ssh.port:04X}"]
    with socket.create_server(("127.0.0.1", 0)) as host:
        host.settimeout(1.0)
        ask(virtual, f"echo hello | timeout 3 nc 10.0.2.2 {host.getsockname()[1]} 2>&1; true")
        with pytest.raises(TimeoutError):
            host.accept()


def test_the_boards_keys_are_private_and_not_in_the_repository(virtual: VirtualProcess, build: Build) -> None:
    key = Path(virtual.ssh.key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not key.is_relative_to(Path(__file__).parents[2])
    assert build.host_key in Path(virtual.ssh.known_hosts).read_text()


def test_two_boards_do_not_meet(virtual: VirtualProcess) -> None:
    with VirtualProcess.start() as other:
        assert other.ssh.port != virtual.ssh.port
        assert ask(other, BOOT_ID) != ask(virtual, BOOT_ID)
        ask(other, "echo mark > /tmp/mark")
        assert "none" in ask(virtual, "test -e /tmp/mark || echo none")


def test_closing_ends_qemu_and_leaves_no_folder(build: Build) -> None:
    board = VirtualProcess.start()
    qemus = qemus_of(board.pid)
    assert len(qemus) == 1
    board.close()
    assert all_end([board.pid, *qemus])
    assert not Path(board.uart).parent.exists()


def test_qemu_ends_with_the_boards_process_also_after_power_cycles(build: Build) -> None:
    with VirtualProcess.start() as board:
        board.control.power_cycle()
        board.control.cold_boot()
        qemus = qemus_of(board.pid)
        assert len(qemus) == 1
        os.kill(board.pid, signal.SIGKILL)
        assert all_end(qemus)


def test_no_qemu_is_left_behind_when_pytest_is_killed(build: Build, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pytest_shepherd_hil.virtual.process import VirtualProcess\n"
        "board = VirtualProcess.start()\n"
        "board.control.power_cycle()\n"
        "print(board.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    qemus = qemus_of(pid)
    assert len(qemus) == 1
    parent.kill()
    parent.communicate()
    assert all_end([pid, *qemus])


def test_qemu_that_does_not_start_is_told_with_its_own_words(build: Build, tmp_path: Path) -> None:
    with pytest.raises(HilError, match=r"QEMU did not start(.|\n)*it said:(.|\n)*could not load kernel"):
        Qemu(Image(tmp_path / "nothing", build.initramfs), ssh_port=free_port())


def test_ssh_port_that_somebody_has_taken_is_told(build: Build) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        board = Qemu(Image(build.kernel, build.initramfs), ssh_port=taken.getsockname()[1])
        with contextlib.closing(board), pytest.raises(BoardError, match="host forwarding"):
            board.open_ssh()


def test_booting_board_refuses_connections_until_it_can_take_them(virtual: VirtualProcess) -> None:
    virtual.control.cold_boot()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((virtual.ssh.host, virtual.ssh.port), timeout=2.0)
    ask(virtual, "true")


def test_board_starts_at_once_where_the_snapshot_is_there(build: Build) -> None:
    lines: list[str] = []
    with VirtualProcess.start(lines.append) as board:
        ask(board, "true")
    with VirtualProcess.start(lines.append):
        pass
    assert len([line for line in lines if re.search("booting it once", line)]) <= 1

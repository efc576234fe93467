"""The embedded board's UART, through a real pyserial."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import serial

from tests.sim.sim_process import Bench, Console, bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def healthy() -> Iterator[Bench]:
    """A board that the tests of this file share; each leaves it as it found it."""
    with bench() as it:
        yield it


def boot_text(text: str) -> str:
    """What stands before the login prompt."""
    return text[: text.index("login: ")]


def test_the_board_boots_on_its_console() -> None:
    with bench() as board:
        text = boot_text(board.console.text)
    for line in (
        "U-Boot SPL",
        "Starting kernel ...",
        "[    0.000000] Booting Linux on physical CPU 0x0",
        "[    0.000000] Linux version 4.19.94-ti-r73",
        "Machine model: TI AM335x",
        "cma: Reserved 48 MiB at 0x9c800000",
    ):
        assert line in text
    assert "random: crng init done" not in text, "quiet hides it"


def test_bytes_come_at_the_baud_rate() -> None:
    with bench(baudrate=57600) as board:
        start = board.console.mark
        size = 8000
        begun = time.monotonic()
        board.control.uart_send(b"u" * size)
        board.console.wait_for_bytes(start + size)
        took_s = time.monotonic() - begun
    expected_s = size * 10 / 57600
    assert expected_s - 0.01 <= took_s <= expected_s + 0.3


def test_bytes_come_in_small_pieces_not_in_bursts() -> None:
    with bench() as board:
        start, chunk = board.console.mark, len(board.console.chunks)
        board.control.uart_send(b"u" * 5760)
        board.console.wait_for_bytes(start + 5760)
        times = [at for at, _ in board.console.chunks[chunk:]]
    halfway = [at for at in times if at < times[0] + 0.25]
    assert len(times) > 30
    assert 0.25 < len(halfway) / len(times) < 0.75


def test_nobody_reading_does_not_stop_the_board() -> None:
    with bench(baudrate=3_000_000) as board:
        board.run("true")
        board.console.close()
        board.control.uart_send(b"x" * 300_000)
        assert board.run("echo alive").stdout == "alive\n"
        time.sleep(1.1)  # 300 kB at 3 Mbaud take 1 s
        late = Console(board.sim.uart, 3_000_000)
        before = board.control.status()
        board.control.kernel_lines("after the flood")
        late.wait_for("after the flood")
        late.close()
        assert before["booted"]
        assert len(late.data) < 150_000


def test_a_port_in_use_cannot_be_opened_twice_exclusively(healthy: Bench) -> None:
    with pytest.raises(serial.SerialException):
        serial.Serial(healthy.sim.uart, 115200, exclusive=True)


def test_closing_and_opening_the_port_does_not_hang_up(healthy: Bench) -> None:
    healthy.console.close()
    healthy.console = Console(healthy.sim.uart)
    healthy.control.kernel_lines("still here")
    healthy.console.wait_for("still here")


def test_someone_logs_in_at_the_console(healthy: Bench) -> None:
    console = healthy.console
    start = console.mark
    console.send(b"debian\r")
    console.wait_for(re.escape("debian@sim:~$ "), after=start)
    assert b"debian\r\n" in console.data[start:], "the terminal echoes"
    start = console.mark
    console.send(b"uname -x\x7fr; foo\r")
    console.wait_for(r"^4\.19\.94-ti-r73\nsh: 1: foo: not found\ndebian@sim", after=start)
    start = console.mark
    console.send(b"sleep 30\r")
    console.wait_for("sleep 30\n", after=start)
    console.send(b"\x03")
    console.wait_for(re.escape("debian@sim:~$ "), after=start)
    start = console.mark
    console.send(b"exit\r")
    console.wait_for("login: ", after=start)


def test_the_loglevel_decides_what_the_console_shows(healthy: Bench) -> None:
    healthy.control.printk("quiet one", level=4)
    healthy.control.printk("loud one", level=3)
    healthy.console.wait_for("loud one")
    assert "quiet one" not in healthy.console.text
    assert "quiet one" in healthy.run("dmesg").stdout
    assert healthy.run("sudo dmesg -n 8; cat /proc/sys/kernel/printk").stdout == "8\t4\t1\t7\n"
    healthy.control.printk("chatter", level=7)
    healthy.console.wait_for("chatter")
    assert healthy.run("sudo sysctl -w kernel.printk='4 4 1 7'").stdout == "kernel.printk = 4 4 1 7\n".replace(
        "4 4 1 7", "4\t4\t1\t7"
    )


def test_a_message_without_newline_is_held_back_until_the_next(healthy: Bench) -> None:
    healthy.control.printk("shprd.k: last words", level=3, newline=False)
    assert healthy.console.quiet(0.3)
    healthy.control.printk("next", level=3)
    found = healthy.console.wait_for(r"\[ *([\d.]+)\] shprd\.k: last words\n\[ *([\d.]+)\] next\n")
    assert float(found[2]) - float(found[1]) >= 0.3


def test_a_line_written_to_kmsg_comes_out_of_the_console(healthy: Bench) -> None:
    healthy.run("sudo sh -c 'echo hidden > /dev/kmsg; echo \"<3>fence 1\" > /dev/kmsg'")
    found = healthy.console.wait_for(r"\[ *\d+\.\d{6}\] fence 1\n")
    assert "hidden" not in healthy.console.text
    assert found[0].startswith("[")
    assert healthy.run("echo no > /dev/kmsg").stderr == "sh: 1: cannot create /dev/kmsg: Permission denied\n"


def test_printk_cuts_into_what_user_space_writes(healthy: Bench) -> None:
    healthy.control.uart_send("u" * 8000)
    healthy.console.wait_for("uuu")
    healthy.control.printk("in between", level=1)
    healthy.console.wait_for(r"u+\[ *[\d.]+\] in between\nu+")


def test_unplugging_hangs_up_and_plugging_brings_the_same_name_back() -> None:
    with bench() as board:
        board.control.unplug_uart()
        assert isinstance(board.console.wait_lost(), OSError)
        assert not Path(board.sim.uart).exists()
        board.console.close()
        board.control.plug_uart()
        board.console = Console(board.sim.uart)
        board.control.kernel_lines("back again")
        board.console.wait_for("back again")


def test_a_cut_wire_is_silent_and_the_port_stays() -> None:
    with bench() as board:
        board.console.wait_for("login: ")
        board.control.mute_uart()
        board.control.kernel_lines("unheard")
        assert board.console.quiet(0.3)
        assert Path(board.sim.uart).exists()
        board.control.mute_uart(False)
        board.control.kernel_lines("heard")
        board.console.wait_for("heard")
        assert "unheard" not in board.console.text


def test_garbage_is_the_same_for_the_same_seed() -> None:
    seen = []
    with bench() as board:
        for _ in range(2):
            start = board.console.mark
            board.control.garbage(500, seed=7)
            board.console.wait_for_bytes(start + 500)
            seen.append(bytes(board.console.data[start:]))
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 100


def test_a_break_makes_the_next_byte_a_sysrq_command(healthy: Bench) -> None:
    start = healthy.console.mark
    healthy.control.send_break()
    healthy.console.send(b"w")
    healthy.console.wait_for(r"\[ *[\d.]+\] sysrq: SysRq : Show Blocked State\n", after=start)
    healthy.control.send_break()
    healthy.console.send(b"h")
    healthy.console.wait_for(r"sysrq: SysRq : HELP : loglevel\(0-9\) reboot\(b\) crash\(c\)", after=start)


def test_sysrq_works_while_user_space_hangs_and_nothing_else_does() -> None:
    with bench() as board:
        board.run("true")
        board.control.hang()
        start = board.console.mark
        board.console.send(b"debian\r")
        assert board.console.quiet(0.3), "no echo from a hung board"
        board.control.printk("kernel lives", level=0)
        board.console.wait_for("kernel lives", after=start)
        board.control.send_break()
        board.console.send(b"b")
        board.console.wait_for("SysRq : Resetting", after=start)
        board.wait_booted(after=start)
        assert board.control.status()["epoch"] == 2


def test_every_boot_has_a_new_id_and_its_own_time() -> None:
    with bench() as board:
        first = board.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()
        time_s = board.control.status()["kernel_time_s"]
        start = board.console.mark
        board.hang_up()
        board.control.reboot()
        board.wait_booted(after=start)
        status = board.control.status()
        second = board.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()
    assert second == status["boot_id"] != first
    assert status["kernel_time_s"] < time_s + 0.5
    assert "Starting kernel" in board.console.data[start:].decode("utf-8", "replace")


def test_a_board_without_power_says_nothing_and_takes_no_sysrq() -> None:
    with bench() as board:
        board.control.power_off()
        start = board.console.mark
        board.control.send_break()
        board.console.send(b"b")
        assert board.console.quiet(0.5)
        assert board.control.status()["power"] == "off"
        board.control.power_on()
        board.wait_booted(after=start)


def test_an_interactive_user_and_the_kernel_can_write_at_once(healthy: Bench) -> None:
    threads = [
        threading.Thread(target=healthy.control.printk, args=(f"line {number} of many",), kwargs={"level": 1})
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    for number in range(20):
        healthy.console.wait_for(rf"\[ *[\d.]+\] line {number} of many\n")

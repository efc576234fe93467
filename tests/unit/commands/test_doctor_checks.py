"""The doctor's checks one by one: on boards that say what a test wants, and of this host."""

from __future__ import annotations

import os
import pty
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from pytest_shepherd_hil import cli
from pytest_shepherd_hil.boards import load_boards
from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.doctor import analyzer, examination, host, target
from pytest_shepherd_hil.doctor.bench import Bench
from pytest_shepherd_hil.doctor.finding import Finding, Mark, ok
from pytest_shepherd_hil.doctor.uart import check_console, looks_like_text
from tests.requirements import require
from tests.unit.commands.bench import WAIT_S, ScriptedBoard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answers = dict[str, tuple[int, str, str]]

CONSOLES = "cat /proc/consoles"
CMDLINE = "cat /proc/cmdline"


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[..., Finding]]:
    """Does a check on a board with these answers."""
    made: list[ScriptedBoard | Bench] = []

    def ask(check: Callable[[Bench], Finding], answers: Answers, tables: str = "", **keys: object) -> Finding:
        board = ScriptedBoard(tmp_path, answers)
        (tmp_path / "boards.toml").write_text(board.toml(**keys) + tables)
        bench = Bench(load_boards(tmp_path / "boards.toml").board("bench"))
        made[:0] = [bench, board]
        return check(bench)

    yield ask
    for each in made:
        each.close()


def _bench(folder: Path, text: str) -> Bench:
    (folder / "boards.toml").write_text(text)
    return Bench(load_boards(folder / "boards.toml").board("bench"))


def test_sudo_that_asks_for_a_password_says_how_to_allow_it(ask: Callable[..., Finding]) -> None:
    found = ask(target.check_root, {"sudo": (1, "", "sudo: a password is required\n")})
    assert found.mark is Mark.PROBLEM
    assert "debian ALL=(ALL) NOPASSWD: ALL" in found.advice


def test_a_board_without_sudo_says_so(ask: Callable[..., Finding]) -> None:
    found = ask(target.check_root, {"sudo": (127, "", "sh: 1: sudo: not found\n")})
    assert (found.mark, found.says) == (Mark.PROBLEM, "sudo -n: the board has no sudo")


def test_a_kernel_that_prints_to_a_screen_alone_is_a_problem(ask: Callable[..., Finding]) -> None:
    found = ask(target.check_kernel_console, {CONSOLES: (0, "tty0                 -WU (EC p  )    4:7\n", "")})
    assert (found.mark, found.says) == (Mark.PROBLEM, "the kernel prints to no UART, but to tty0")


def test_serial_consoles_are_told_from_screens_and_from_those_that_are_off() -> None:
    listing = (
        "ttyS2                -W- (E  p a)    4:66\n"
        "tty0                 -WU (EC p  )    4:7\n"
        "ttyO0                -W- (   p a)  250:0\n"
        "netcon0              -W- (E     )\n"
        "hvc0                 -W- (E  p  )  229:0\n"
    )
    assert target.serial_consoles(listing) == ["ttyS2", "hvc0"]


@pytest.mark.parametrize(
    ("answers", "rate"),
    [
        ({"stty -F /dev/ttyS0 speed": (0, "1500000\n", "")}, (1500000, "stty of ttyS0")),
        ({CMDLINE: (0, "quiet console=ttyS0,9600n8\n", "")}, (9600, "console=ttyS0,9600 of the kernel's command line")),
        ({CMDLINE: (0, "console=ttyS0\n", "")}, None),
    ],
)
def test_the_kernels_rate_is_that_of_stty_or_of_its_command_line(
    answers: Answers, rate: tuple[int, str] | None, ask: Callable[..., Finding]
) -> None:
    seen: list[tuple[int, str] | None] = []

    def check(bench: Bench) -> Finding:
        seen.append(target.kernel_rate(bench))
        return ok("")

    ask(check, {CONSOLES: (0, "ttyS0                -W- (EC p a)    4:64\n", ""), **answers})
    assert seen == [rate]


@pytest.mark.parametrize(
    ("mask", "user", "mark", "says"),
    [
        ("1", "1000", Mark.OK, "kernel.sysrq = 1 allows all that is needed"),
        ("184", "1000", Mark.OK, "kernel.sysrq = 184 allows all that is needed"),
        ("438", "1000", Mark.WARNING, "show what a hung kernel does"),
        ("0", "1000", Mark.WARNING, "restart it (b)"),
        ("0", "0", Mark.OK, "kernel.sysrq = 0; each run sets it to 1 for its time"),
    ],
)
def test_a_sysrq_mask_that_no_run_can_change_says_what_it_lacks(
    mask: str, user: str, mark: Mark, says: str, ask: Callable[..., Finding]
) -> None:
    found = ask(target.check_sysrq, {"cat /proc/sys/kernel/sysrq": (0, f"{mask}\n", ""), "id -u": (0, user, "")})
    assert found.mark is mark
    assert says in found.says


def test_a_loglevel_that_no_run_can_raise_is_a_problem(ask: Callable[..., Finding]) -> None:
    printk = {"cat /proc/sys/kernel/printk": (0, "4\t4\t1\t7\n", "")}
    found = ask(target.check_loglevel, printk)
    assert (found.mark, found.says[:2]) == (Mark.PROBLEM, "4:")
    found = ask(target.check_loglevel, {**printk, CMDLINE: (0, "quiet ignore_loglevel\n", "")})
    assert found.mark is Mark.OK


def test_a_module_is_found_installed_loaded_or_not_at_all(ask: Callable[..., Finding]) -> None:
    tables = '[boards.bench.module]\nname = "my-module"\n'
    path = "/lib/modules/5.10.168/extra/my-module.ko"
    found = ask(target.check_module, {"modinfo -n my-module": (0, f"{path}\n", "")}, tables)
    assert found == ok(f"my-module is not loaded: {path}")
    found = ask(target.check_module, {"cat /proc/modules": (0, "my_module 16384 0 - Live 0x0\n", "")}, tables)
    assert found == ok("my-module is loaded, though not installed for modprobe")
    absent = {
        "modinfo -n my-module": (1, "", "modinfo: ERROR: Module my-module not found.\n"),
        "modprobe -n my-module": (1, "", "modprobe: FATAL: Module my-module not found in directory /lib/modules/5\n"),
        "uname -r": (0, "5.10.168\n", ""),
    }
    found = ask(target.check_module, absent, tables)
    assert found.mark is Mark.PROBLEM
    assert found.says.startswith("no module my-module for kernel 5.10.168: modprobe: FATAL: ")
    assert "depmod" in found.advice


def test_pstore_records_of_an_earlier_crash_are_a_warning(ask: Callable[..., Finding]) -> None:
    found = ask(target.check_pstore, {"ls /sys/fs/pstore": (0, "dmesg-ramoops-0\ndmesg-ramoops-1\n", "")})
    assert (found.mark, found.says[:40]) == (Mark.WARNING, "it has 2 records of an earlier crash: dm")


def test_pstore_is_missed_only_where_there_is_no_console_either(ask: Callable[..., Finding]) -> None:
    tables = '[boards.bench.console]\nport = "/dev/ttyUSB77"\n'
    assert ask(target.check_pstore, {}, tables).mark is Mark.OK
    assert ask(target.check_pstore, {}).mark is Mark.WARNING


def test_garbage_is_told_from_text() -> None:
    assert looks_like_text(b"\r\nDebian GNU/Linux 10 sim ttyS0\r\n\r\nsim login: ")
    assert not looks_like_text(bytes(range(0x80, 0x100)))
    assert not looks_like_text(b"\xf8\x00\x80\xf8x\x00\x80\x80")


def test_what_came_instead_of_the_kernels_line_is_shown_as_it_came() -> None:
    log = ConsoleLog()

    def nonce(_: float) -> None:
        log.append(b"Hit any key\r\nU-Boot> ", 1)  # no newline after a prompt

    wire = SimpleNamespace(log=log, lost=None, config=SimpleNamespace(port="/dev/ttyUSB0"), nonce=nonce)
    found = check_console(cast("Bench", SimpleNamespace(ssh=1, wire=wire, loud=nullcontext, heard=None)))
    assert found.says.endswith(", but something else did: U-Boot>")


def test_what_a_board_says_is_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = ScriptedBoard(tmp_path, {"uname -n -r": (0, "\x1b]0;pwned\x07beagle 5.10\n second line", "")})
    (tmp_path / "boards.toml").write_text(board.toml())
    cli.main(["doctor", "bench", "--boards", str(tmp_path / "boards.toml")])
    board.close()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    (line,) = (line for line in out.splitlines() if line.startswith("  ok           SSH   "))
    assert line.endswith(r"is 0;pwned\x07beagle, kernel 5.10\n second line")


# of this host


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("uhubctl -l 1-1 -p 3 -a cycle", ["uhubctl"]),
        ("PORT=3 LANG=C /opt/hub $PORT", ["/opt/hub"]),
        ("sudo uhubctl -a off", ["sudo", "uhubctl"]),
        ("sudo -n -- uhubctl", ["sudo"]),
        ("cd /opt && ./hub", []),
        ("$HUB off", []),
        ("'my hub' off", ["my hub"]),
    ],
)
def test_the_program_of_a_power_command(line: str, names: list[str]) -> None:
    assert host.program_names(line) == names


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be somebody else")
def test_a_device_of_another_group_says_which_group_to_join() -> None:
    master, slave = pty.openpty()
    path = Path(os.ttyname(slave))
    os.chown(path, 0, 20)
    path.chmod(0o660)
    said, tell = os.pipe()
    child = os.fork()
    if child == 0:  # not a process of its own: others may not read root's Python
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.write(tell, repr(host.device_fault(path)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    text = os.read(said, 4096).decode()
    for end in (master, slave, said, tell):
        os.close(end)
    assert f"permission denied: {path} belongs to group {host.group_name(20)}, which you are not in" in text
    assert f"sudo usermod -aG {host.group_name(20)} $USER" in text


@require("sigrok-cli")
def test_an_analyzer_is_seen_or_not(tmp_path: Path) -> None:
    logic = '[boards.bench.logic]\ndriver = "{}"\n'
    demo = _bench(tmp_path, logic.format("demo"))
    assert analyzer.check_program(demo).mark is Mark.OK
    assert analyzer.check_firmware(demo).mark is Mark.OK
    assert analyzer.check_analyzer(demo).says.startswith("Demo device with 13 channels")
    unknown = analyzer.check_analyzer(_bench(tmp_path, logic.format("no-such-driver")))
    assert (unknown.mark, unknown.says) == (Mark.PROBLEM, "this libsigrok has no driver no-such-driver")


def test_an_analyzer_that_is_not_plugged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "sigrok-cli"
    tool.write_text("#!/bin/sh\nexit 0\n")  # as sigrok-cli --scan does
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = analyzer.check_analyzer(_bench(tmp_path, '[boards.bench.logic]\ndriver = "fx2lafw"\nconn = "1.12"\n'))
    assert (found.mark, found.says) == (Mark.PROBLEM, "no device of driver fx2lafw:conn=1.12 answers")


def test_firmware_that_is_missing_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_DIRS", str(tmp_path))
    monkeypatch.delenv("SIGROK_FIRMWARE_DIR", raising=False)
    bench = _bench(tmp_path, '[boards.bench.logic]\ndriver = "fx2lafw"\n')
    found = analyzer.check_firmware(bench)
    assert (found.mark, found.advice) == (Mark.PROBLEM, "apt-get install sigrok-firmware-fx2lafw")
    (tmp_path / "sigrok-firmware").mkdir()
    (tmp_path / "sigrok-firmware" / "fx2lafw-cypress-fx2.fw").touch()
    assert analyzer.check_firmware(bench).mark is Mark.OK


# the examination as a whole


def test_a_check_that_hangs_is_given_up_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def hang(bench: Bench) -> Finding:
        never.wait(WAIT_S)
        return ok("")

    checks = (
        examination.Check("stuck", hang, limit_s=0.3),
        examination.Check("after", lambda _: ok("went on")),
        examination.Check("needing", lambda _: ok("no"), ("stuck",)),
    )
    monkeypatch.setattr(examination, "CHECKS", checks)
    config = _bench(tmp_path, '[boards.bench.console]\nport = "/dev/null"\n').config
    progress: list[str] = []
    started = time.monotonic()
    results = list(examination.examine(config, progress=lambda check, _: progress.append(check)))
    never.set()
    assert time.monotonic() - started < 5
    assert [(each.check, each.finding.mark) for each in results] == [
        ("stuck", Mark.PROBLEM),
        ("after", Mark.OK),
        ("needing", Mark.NOT_CHECKED),
    ]
    assert results[0].finding.says == "this check did not end within 0.3 s"
    assert "stuck" in progress


def test_all_checks_together_have_a_time_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [examination.Check(f"{number}", lambda _: ok("")) for number in range(3)]
    monkeypatch.setattr(examination, "CHECKS", tuple(checks))
    monkeypatch.setattr(examination, "TOTAL_S", 0.0)
    config = _bench(tmp_path, '[boards.bench.console]\nport = "/dev/null"\n').config
    says = [each.finding.says for each in examination.examine(config)]
    assert says == ["the examination has taken 0 s already"] * 3

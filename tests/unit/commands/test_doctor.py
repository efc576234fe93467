"""shepherd-hil doctor, on benches that are well or broken in one way each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil import cli
from pytest_shepherd_hil.boards import SshConfig
from pytest_shepherd_hil.shell import Shell
from pytest_shepherd_hil.sim.process import SimProcess
from tests.plugin.conftest import bench_toml
from tests.suite import BOARDS
from tests.unit.commands.bench import WAIT_S, Cable, Terminal80, diagnose, holding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOT_OURS = {"sigrok-cli", "firmware", "logic analyzer"}
"""Not checked on a bench without a logic analyzer."""


@pytest.fixture(scope="module")
def sim() -> Iterator[SimProcess]:
    """A board that no test changes for good."""
    with SimProcess.start() as sim:
        _shell(sim)
        yield sim


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    return tmp_path / "boards.toml"


def _shell(sim: SimProcess) -> Shell:
    """A shell on the board, which has booted."""
    ssh = sim.ssh
    config = SshConfig(host=ssh.host, port=ssh.port, user=ssh.user, key=ssh.key, known_hosts=ssh.known_hosts, sudo=True)
    shell = Shell(config, board="sim")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            shell.run("true")
        except Exception:
            shell.drop()
            time.sleep(0.05)
        else:
            return shell
    raise AssertionError("the board did not boot")


# a bench that is well


def test_the_embedded_board_is_all_well(capsys: pytest.CaptureFixture[str]) -> None:
    diagnosis = diagnose(capsys, BOARDS, board="sim01")
    assert diagnosis.marks("ok") == set(diagnosis.findings)
    assert diagnosis.status == 0


def test_a_bench_that_is_well_is_told_so_in_one_line_a_check(
    sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.write_text(bench_toml(sim))
    assert cli.main(["doctor", "bench", "--boards", str(boards)]) == 0
    head, *lines, summary, empty = capsys.readouterr().out.splitlines()
    assert (head, empty) == ("bench", "")
    assert all(line.startswith(("  ok  ", "  warning  ", "  not checked  ")) for line in lines)
    assert summary.startswith("bench: all well: 15 ok, 1 warning, 3 not checked, in ")


def test_what_a_bench_does_not_have_is_not_checked_and_the_reason_names_the_table(
    sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.write_text(bench_toml(sim))
    diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("not checked") == NOT_OURS
    assert {diagnosis.findings[check]["says"] for check in NOT_OURS} == {"boards.toml has no [boards.bench.logic]"}


def test_a_pty_that_carries_no_break_is_a_warning(
    sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.write_text(bench_toml(sim))
    diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("warning") == {"BREAK"}
    assert "a pty carries no BREAK" in diagnosis.text("BREAK")


def test_the_board_is_afterwards_as_it_was(sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = _shell(sim)
    try:
        shell.run("echo 1 > /proc/sys/kernel/printk")
        state = "cat /proc/sys/kernel/printk /proc/sys/kernel/sysrq /proc/modules /proc/sys/kernel/random/boot_id"
        before = shell.run(state).stdout
        boards.write_text(bench_toml(sim))
        diagnosis = diagnose(capsys, boards)
        assert diagnosis.mark("console") == "ok"  # although the console shows almost nothing
        assert shell.run(state).stdout == before
    finally:
        shell.run("echo 4 > /proc/sys/kernel/printk")
        shell.close()


def test_power_is_cycled_and_measured_only_when_asked_for(boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SimProcess.start() as sim:
        _shell(sim).close()
        boards.write_text(bench_toml(sim))
        diagnosis = diagnose(capsys, boards)
        assert (diagnosis.mark("power"), sim.control.status()["epoch"]) == ("ok", 1)
        assert "power cycle" not in diagnosis.findings
        diagnosis = diagnose(capsys, boards, "--power")
        assert (diagnosis.mark("power cycle"), sim.control.status()["epoch"]) == ("ok", 2)
        assert "its shell was back" in diagnosis.text("power cycle")


def test_a_power_command_that_switches_nothing_is_found_with_power(
    boards: Path, capsys: pytest.CaptureFixture[str], sim: SimProcess
) -> None:
    text = bench_toml(sim).partition("[boards.bench.power]")[0].replace("boot_timeout_s = 15", "boot_timeout_s = 1")
    boards.write_text(text + '[boards.bench.power]\ncycle = "true"\n')
    diagnosis = diagnose(capsys, boards, "--power")
    assert (diagnosis.status, diagnosis.marks("problem")) == (1, {"power cycle"})
    assert "still runs the same kernel as before" in diagnosis.text("power cycle")
    assert "does the command switch this board's port?" in diagnosis.text("power cycle")


# benches that are broken


def test_a_port_that_is_not_there(sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boards.write_text(bench_toml(sim, port="/dev/ttyUSB77"))
    diagnosis = diagnose(capsys, boards)
    assert (diagnosis.status, diagnosis.marks("problem")) == (1, {"serial port"})
    assert "there is no /dev/ttyUSB77" in diagnosis.text("serial port")
    assert diagnosis.marks("not checked") == {"console", "baud rate", "BREAK"} | NOT_OURS
    assert diagnosis.findings["console"]["says"] == "it needs 'serial port', see above"
    assert diagnosis.findings["BREAK"]["says"] == "it needs 'console', see above"


def test_a_port_that_is_no_serial_device(
    sim: SimProcess, boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    boards.write_text(bench_toml(sim, port=str(tmp_path / "file")))
    diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("problem") == {"serial port"}
    assert "is no serial device" in diagnosis.text("serial port")


def test_a_port_that_another_program_has_open(
    sim: SimProcess, boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "minicom"
    shutil.copy(sys.executable, script)
    code = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print('open', flush=True); sys.stdin.read()"
    environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
    with subprocess.Popen(
        [script, "-c", code, sim.uart], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        boards.write_text(bench_toml(sim))
        diagnosis = diagnose(capsys, boards)
        process.kill()
    assert diagnosis.marks("problem") == {"serial port"}
    assert f"is in use by minicom (pid {process.pid})" in diagnosis.text("serial port")


def test_a_modem_manager_is_told_where_the_port_is_a_usb_adapter(
    sim: SimProcess, boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sleeper = shutil.which("sleep")
    assert sleeper is not None
    shutil.copy(sleeper, tmp_path / "ModemManager")
    (tmp_path / "ttyUSB0").symlink_to(os.path.realpath(sim.uart))
    with subprocess.Popen([tmp_path / "ModemManager", "60"]) as process:
        boards.write_text(bench_toml(sim, port=str(tmp_path / "ttyUSB0")))
        usb = diagnose(capsys, boards)
        boards.write_text(bench_toml(sim))
        other = diagnose(capsys, boards)
        process.kill()
    assert f"ModemManager (pid {process.pid}) runs" in usb.text("port grabbers")
    assert "systemctl mask --now ModemManager" in usb.text("port grabbers")
    assert (usb.mark("port grabbers"), usb.mark("console")) == ("warning", "ok")
    assert other.mark("port grabbers") == "ok"


@pytest.mark.parametrize("kind", ["missing", "public", "wrong"])
def test_a_key_that_does_not_open_the_board(
    kind: str, sim: SimProcess, boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    if kind != "missing":
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    boards.write_text(bench_toml(sim, key=f"{key}.pub" if kind == "public" else str(key)))
    diagnosis = diagnose(capsys, boards)
    found, says = {
        "missing": ("SSH key", f"there is no {key}"),
        "public": ("SSH key", f"{key}.pub is a public key"),
        "wrong": ("SSH", "ssh-copy-id -p"),
    }[kind]
    assert diagnosis.marks("problem") == {found}
    assert says in diagnosis.text(found)
    assert diagnosis.findings["root"]["says"] == "it needs 'SSH', see above"


def test_a_key_that_others_may_read(
    sim: SimProcess, boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "key"
    shutil.copy(sim.ssh.key, key)
    key.chmod(0o644)
    boards.write_text(bench_toml(sim, key=str(key)))
    diagnosis = diagnose(capsys, boards)
    assert (diagnosis.mark("SSH key"), diagnosis.mark("SSH"), diagnosis.status) == ("warning", "ok", 0)
    assert f"chmod 600 {key}" in diagnosis.text("SSH key")


def test_a_host_key_that_is_not_known(
    sim: SimProcess, boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "known").touch()
    boards.write_text(bench_toml(sim, known_hosts=str(tmp_path / "known")))
    diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("problem") == {"SSH host key", "SSH"}
    assert f"ssh-keyscan -p {sim.ssh.port}" in diagnosis.text("SSH host key")


def test_an_ssh_port_that_refuses(sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = bench_toml(sim, port_number=1)
    boards.write_text(text.replace(f'known_hosts = "{sim.ssh.known_hosts}"\n', ""))
    diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("problem") == {"SSH"}
    assert "still booting? sshd not running? wrong port?" in diagnosis.text("SSH")


def test_a_user_who_may_not_become_root(sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boards.write_text(bench_toml(sim, sudo=False))
    diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("problem") == {"root", "loglevel"}
    assert "set sudo = true in [boards.bench.ssh]" in diagnosis.text("root")
    assert diagnosis.findings["console"]["says"] == "it needs 'root', see above"


def test_the_console_of_another_board(sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SimProcess.start() as other:
        _shell(other).close()
        boards.write_text(bench_toml(sim, port=other.uart))
        diagnosis = diagnose(capsys, boards)
    assert (diagnosis.status, diagnosis.marks("problem")) == (1, {"console"})
    assert "something else did: sim login:" in diagnosis.text("console")
    assert "another board's console?" in diagnosis.text("console")
    assert diagnosis.mark("baud rate") == "not checked"


def test_a_wire_that_is_cut(boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SimProcess.start() as sim:
        _shell(sim).close()
        sim.control.mute_uart()
        boards.write_text(bench_toml(sim))
        diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("problem") == {"console"}
    assert "not a single byte did, nor does anybody answer a newline" in diagnosis.text("console")
    assert "pin 5 of J1" in diagnosis.text("console")
    assert diagnosis.findings["baud rate"]["says"] == "nothing came out of the UART"


def test_a_wrong_baud_rate_is_found_and_the_right_one_measured(
    boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SimProcess.start(baudrate=57600) as sim:
        _shell(sim).close()
        cable = Cable(sim.uart, 57600)
        try:
            boards.write_text(bench_toml(sim, port=cable.path))
            wrong = diagnose(capsys, boards)
            boards.write_text(
                bench_toml(sim, port=cable.path).replace(
                    "[boards.bench.module]", "baudrate = 57600\n[boards.bench.module]"
                )
            )
            right = diagnose(capsys, boards)
        finally:
            cable.close()
    assert wrong.marks("problem") == {"console", "baud rate"}
    assert "what comes is garbage" in wrong.text("console")
    assert wrong.findings["baud rate"]["says"] == "the board talks at 57600 baud, and this port listens at 115200"
    assert wrong.findings["baud rate"]["advice"] == "set baudrate = 57600"
    assert right.marks("problem") == set()
    assert "console=ttyS0,115200 of the kernel's command line says 115200" in right.text("baud rate")


def test_a_console_alone_is_heard_but_not_proven(
    sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.write_text(f'[boards.bench.console]\nport = "{sim.uart}"\n')
    diagnosis = diagnose(capsys, boards)
    assert (diagnosis.status, diagnosis.mark("console")) == (0, "ok")
    assert "somebody answers: sim login:" in diagnosis.text("console")
    assert diagnosis.findings["SysRq"]["says"] == "boards.toml has no [boards.bench.ssh]"


def test_a_power_program_that_is_not_there(sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = bench_toml(sim).partition("[boards.bench.power]")[0]
    boards.write_text(text + '[boards.bench.power]\noff = "PORT=3 no-such-hub $PORT"\non = "true"\n')
    diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("problem") == {"power"}
    assert "cannot run no-such-hub: it is not on PATH" in diagnosis.text("power")


def test_a_tool_that_is_missing_on_path(
    sim: SimProcess, boards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    boards.write_text(bench_toml(sim) + '[boards.bench.logic]\ndriver = "fx2lafw"\n')
    diagnosis = diagnose(capsys, boards)
    assert "sigrok-cli" in diagnosis.marks("problem")
    assert "sudo apt-get install sigrok-cli" in diagnosis.text("sigrok-cli")
    assert diagnosis.findings["logic analyzer"]["says"] == "it needs 'sigrok-cli', see above"


def test_a_board_that_another_process_holds(sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boards.write_text(bench_toml(sim))
    with holding(boards, "bench") as process:
        diagnosis = diagnose(capsys, boards)
    assert (diagnosis.status, diagnosis.marks("problem")) == (1, {"lock"})
    assert f"(pid {process.pid}, since " in diagnosis.text("lock")
    assert diagnosis.findings["serial port"]["says"] == "it needs 'lock', see above"
    assert diagnosis.mark("loglevel") == "ok"  # what disturbs nobody is still looked at


# what cannot begin


@pytest.mark.parametrize(
    ("text", "board", "said"),
    [
        ("[boards.bench.sim]\n", "bensh", "did you mean bench?"),
        ("[boards.bench.sim]\nfualt = 1\n", "bench", "unknown key 'sim.fualt'"),
        (None, "bench", "cannot read"),
        ("[boards.bench.sim]\n", None, "only embedded and virtual boards, which are examined by name: bench"),
    ],
)
def test_what_cannot_begin_is_status_2_and_an_error_that_helps(
    text: str | None, board: str | None, said: str, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        boards.write_text(text)
    assert cli.main(["doctor", *filter(None, [board]), "--boards", str(boards)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err


def test_without_a_name_the_real_boards_are_examined(
    sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.write_text(bench_toml(sim, port="/dev/ttyUSB77") + "[boards.own.sim]\n")
    assert cli.main(["doctor", "--boards", str(boards)]) == 1
    out = capsys.readouterr().out
    assert "\nbench: not fit for tests: " in out
    assert "own" not in out.split()


# how it is told


def test_colours_and_progress_are_for_terminals_only(boards: Path) -> None:
    boards.write_text('[boards.bench.console]\nport = "/dev/ttyUSB77"\n')
    shown = {}
    for name, extra in (("colour", {}), ("plain", {"NO_COLOR": "1"})):
        terminal = Terminal80("doctor", "bench", "--boards", str(boards), env=extra)
        assert terminal.end() == 1
        terminal.close()
        shown[name] = terminal.text
    assert "\x1b[1;31mproblem    \x1b[m  serial port" in shown["colour"]
    assert "  problem      serial port" in shown["plain"].replace("\r\x1b[K", "")
    command = [sys.executable, "-m", "pytest_shepherd_hil.cli", "doctor", "bench", "--boards", str(boards)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert "\x1b" not in done.stdout + done.stderr
    assert "  problem      serial port" in done.stdout


# the console on a channel of the logic analyzer


def on_channel(sim: SimProcess, channel: str = "D0", baudrate: int = 115200) -> str:
    toml = bench_toml(sim).replace(f'port = "{sim.uart}"', f'logic = "{channel}"\nbaudrate = {baudrate}')
    channels = '{ D0 = "uart_tx", D1 = "sync" }'
    return f'{toml}[boards.bench.logic]\ndriver = "probe"\nconn = "{sim.probe}"\nchannels = {channels}\n'


def test_a_console_on_a_channel_is_well(sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boards.write_text(on_channel(sim))
    diagnosis = diagnose(capsys, boards)
    assert diagnosis.marks("ok") == set(diagnosis.findings)
    assert diagnosis.text("serial port").startswith("none; the console is heard on logic channel D0, read only")
    assert "came out after" in diagnosis.text("console")
    assert "the console is heard on D0" in diagnosis.text("logic analyzer")


def test_a_wrong_rate_on_a_channel_is_measured(
    sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.write_text(on_channel(sim, baudrate=57600))
    diagnosis = diagnose(capsys, boards)
    assert "garbage" in diagnosis.text("console")
    assert diagnosis.text("baud rate") == (
        "the channel is no UART of 57600 baud; measured: 115200 baud, parity none "
        "-> set baudrate in [boards.bench.console]"
    )


def test_a_channel_that_hangs_on_another_pin_is_told(
    sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.write_text(on_channel(sim, "sync"))
    diagnosis = diagnose(capsys, boards)
    assert "out of logic channel sync within 3 s; not a single byte did: the channel stays low" in diagnosis.text(
        "console"
    )
    assert "channel sync to pin 5 of J1" in diagnosis.text("console")


def test_an_analyzer_that_is_not_there_is_a_problem(
    sim: SimProcess, boards: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boards.write_text(on_channel(sim).replace(sim.probe, "/nowhere/probe"))
    diagnosis = diagnose(capsys, boards)
    assert "/nowhere/probe cannot be opened" in diagnosis.text("serial port")
    assert "/nowhere/probe cannot be opened" in diagnosis.text("logic analyzer")

"""The embedded board's process: how it starts, what it leaves, and that it always ends."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_shepherd_hil.errors import BoardError, HostError
from pytest_shepherd_hil.sim.control import SimControl
from pytest_shepherd_hil.sim.process import SimProcess
from tests.sim.sim_process import bench

ROOT = Path(__file__).parents[2]


def wait_gone(pid: int, timeout_s: float = 5.0) -> None:
    """Until no such process runs; a pidfd tells it without polling."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([watch], [], [], timeout_s)[0], f"process {pid} still runs"
    finally:
        os.close(watch)


def test_it_is_ready_quickly_and_tells_where_everything_is() -> None:
    begun = time.monotonic()
    with SimProcess.start() as sim:
        took_s = time.monotonic() - begun
        folder = Path(sim.uart).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert Path(sim.uart).is_symlink()
        assert stat.S_ISCHR(Path(sim.uart).stat().st_mode)
        assert (sim.ssh.host, sim.ssh.user) == ("127.0.0.1", "debian")
        for path in (sim.ssh.key, sim.control.path, sim.probe):
            assert Path(path).parent == folder
            assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
        assert "OPENSSH PRIVATE KEY" in Path(sim.ssh.key).read_text()
        assert Path(sim.ssh.known_hosts).read_text().startswith(f"[127.0.0.1]:{sim.ssh.port} ssh-ed25519 ")
        assert os.getsid(sim.pid) == sim.pid, "a session of its own: Ctrl-C does not reach it"
    assert took_s < 3
    assert not folder.exists()
    wait_gone(sim.pid)


def test_closing_twice_is_fine() -> None:
    sim = SimProcess.start()
    sim.close()
    sim.close()


def test_files_in_the_current_folder_do_not_disturb_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("socket.py", "paramiko.py", "select.py"):
        (tmp_path / name).write_text("raise SystemExit('wrong module')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    with bench() as board:
        assert board.run("echo fine").stdout == "fine\n"


def test_keys_are_made_for_each_run() -> None:
    with SimProcess.start() as one, SimProcess.start() as other:
        assert Path(one.ssh.key).read_bytes() != Path(other.ssh.key).read_bytes()
        assert one.ssh.port != other.ssh.port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_leaves_no_file(number: signal.Signals) -> None:
    sim = SimProcess.start()
    folder = Path(sim.uart).parent
    os.kill(sim.pid, number)
    wait_gone(sim.pid)
    assert not folder.exists()
    sim.close()


def test_it_ends_while_clients_are_busy_with_it() -> None:
    with bench() as board:
        client = board.connect()
        client.open()
        assert client.transport is not None
        client.transport.open_session(timeout=5).exec_command("sleep 100")
        probe = socket.socket(socket.AF_UNIX)
        probe.connect(board.sim.probe)
        probe.sendall(b'{"samplerate": 24000000, "channels": ["D0"]}\n')
        begun = time.monotonic()
        board.sim.close()
        assert time.monotonic() - begun < 2
        probe.close()


def test_it_ends_when_its_parent_is_killed() -> None:
    script = (
        "import sys, time\n"
        "from pytest_shepherd_hil.sim.process import SimProcess\n"
        "sim = SimProcess.start()\n"
        "print(sim.pid, sim.uart, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    assert parent.stdout is not None
    pid, uart = parent.stdout.readline().split()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(5)
    parent.stdout.close()
    wait_gone(int(pid))
    assert not Path(uart.decode()).parent.exists()


def test_a_wrong_argument_is_a_host_error_with_what_it_said() -> None:
    with pytest.raises(HostError, match="invalid choice: 'gremlins'"):
        SimProcess.start("gremlins")


def test_the_client_imports_neither_paramiko_nor_serial() -> None:
    script = (
        "import sys, pytest_shepherd_hil.sim.process\n"
        "print([name for name in ('paramiko', 'fabric', 'serial', 'cryptography') if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_an_idle_board_uses_no_processor_time() -> None:
    with bench() as board:
        board.run("true")
        board.hang_up()

        def used_s() -> float:
            fields = Path(f"/proc/{board.sim.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        board.console.quiet(0.5)
        before = used_s()
        time.sleep(2)
        assert used_s() - before <= 0.05


def test_a_wrong_control_request_is_told_what_is_wrong() -> None:
    with SimProcess.start() as sim, socket.socket(socket.AF_UNIX) as end:
        end.settimeout(5)
        end.connect(sim.control.path)
        answers = end.makefile("rb")
        for line, error in (
            (b"nonsense", "not a line of JSON"),
            (b"[]", "not a JSON object"),
            (b'{"op": "explode"}', "unknown op 'explode'"),
            (b'{"op": "power"}', "'state' is missing"),
            (b'{"op": "power", "state": "maybe"}', "none of on, off, cycle"),
            (b'{"op": "ssh", "mode": "odd"}', "'odd'"),
            (b'{"op": "uart_garbage", "bytes": -1}', "give 0 to"),
            (b'{"op": "printk", "text": "x", "level": 9}', "give 0 to 7"),
        ):
            end.sendall(line + b"\n")
            answer = json.loads(answers.readline())
            assert answer["ok"] is False
            assert error in answer["error"]
        end.sendall(b'{"op": "status"}\n')
        assert json.loads(answers.readline())["ok"] is True


def test_a_control_client_says_so_when_the_board_is_gone(tmp_path: Path) -> None:
    with pytest.raises(BoardError, match="is gone: No such file"):
        SimControl(tmp_path / "none").status()
    deaf = socket.socket(socket.AF_UNIX)
    deaf.bind(str(tmp_path / "deaf"))
    deaf.listen()
    with pytest.raises(BoardError, match=r"no answer from .* in 0\.2 s"):
        SimControl(tmp_path / "deaf", 0.2).status()
    deaf.close()


def test_asking_a_board_without_power_to_print_is_refused() -> None:
    with SimProcess.start() as sim:
        sim.control.power_off()
        for ask in (sim.control.hang, sim.control.reboot, sim.control.panic, lambda: sim.control.printk("x")):
            with pytest.raises(BoardError, match="no power"):
                ask()

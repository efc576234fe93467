"""What a user of the embedded board's shell gets, through a real fabric client."""

from __future__ import annotations

import threading
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.sim.sim_process import Bench, bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def board() -> Iterator[Bench]:
    with bench() as it:
        yield it


def test_a_command_has_stdout_stderr_and_an_exit_status_of_its_own(board: Bench) -> None:
    result = board.run("echo out; nonsense; echo err >&2; false")
    assert (result.stdout, result.stderr, result.exited) == ("out\n", "sh: 1: nonsense: not found\nerr\n", 1)


@pytest.mark.parametrize(
    ("command", "stdout", "stderr", "status"),
    [
        ("foo --bar", "", "sh: 1: foo: not found\n", 127),
        (
            "uname -a",
            "Linux sim 4.19.94-ti-r73 #1focal SMP PREEMPT Wed Sep 22 19:41:00 UTC 2021 armv7l GNU/Linux\n",
            "",
            0,
        ),
        ("uname -r", "4.19.94-ti-r73\n", "", 0),
        ("echo 'a  b' \"c $? d\" e\\ f", "a  b c 0 d e f\n", "", 0),
        ("false || echo no && echo yes", "no\nyes\n", "", 0),
        ("true && false; echo $?", "1\n", "", 0),
        ("echo one two | grep -q two && echo found", "found\n", "", 0),
        ("printf 'b\\na\\n' | sort | head -n 1", "a\n", "", 0),
        ("printf '%s-%d\\n' x 7", "x-7\n", "", 0),
        ("cat /proc/sys/kernel/printk", "4\t4\t1\t7\n", "", 0),
        ("sysctl -n kernel.printk", "4\t4\t1\t7\n", "", 0),
        ("cat /nowhere", "", "cat: /nowhere: No such file or directory\n", 1),
        ("cat /nowhere 2>/dev/null || echo none", "none\n", "", 0),
        ("cat /nowhere 2>&1 | wc -l", "1\n", "", 0),
        ("cat < /nowhere", "", "sh: 1: cannot open /nowhere: No such file\n", 2),
        (
            "echo 8 > /proc/sys/kernel/printk",
            "",
            "sh: 1: cannot create /proc/sys/kernel/printk: Permission denied\n",
            2,
        ),
        ("sudo -n -- sh -c 'whoami; id -u'", "root\n0\n", "", 0),
        ("whoami; hostname; pwd", "debian\nsim\n/home/debian\n", "", 0),
        ("[ -e /sys/shepherd ] || echo absent", "absent\n", "", 0),
        ("test -d /tmp && [ a = a ] && [ -n x ] && echo all", "all\n", "", 0),
        ("cat /sys/class/remoteproc/remoteproc[12]/name", "4a334000.pru\n4a338000.pru\n", "", 0),
        ("ls /sys/class/remoteproc", "remoteproc0\nremoteproc1\nremoteproc2\n", "", 0),
        ("for n in 1 2; do echo $n; done", "1\n2\n", "", 0),
        ('A=x; echo "$A${A}"', "xx\n", "", 0),
        ("sh -c 'exit 3'", "", "", 3),
        ("which modprobe && command -v lsmod", "/usr/bin/modprobe\n/usr/bin/lsmod\n", "", 0),
        ("echo 'unclosed", "", "sh: 1: Syntax error: Unterminated quoted string\n", 2),
        (
            "sudo modprobe -a xyz",
            "",
            "modprobe: FATAL: Module xyz not found in directory /lib/modules/4.19.94-ti-r73\n",
            1,
        ),
        ("modprobe -a shepherd", "", "modprobe: ERROR: could not insert 'shepherd': Operation not permitted\n", 1),
    ],
)
def test_a_command_answers_as_on_a_board(board: Bench, command: str, stdout: str, stderr: str, status: int) -> None:
    result = board.run(command)
    assert (result.stdout, result.stderr, result.exited) == (stdout, stderr, status)


@pytest.mark.parametrize(
    "command",
    [
        "touch {file}",
        "echo $(touch {file})",
        "echo `touch {file}`",
        'python3 -c \'open("{file}", "w")\'',
        "/bin/touch {file}",
    ],
)
def test_nothing_is_ever_executed_on_the_host(board: Bench, tmp_path: Path, command: str) -> None:
    file = tmp_path / "x"
    result = board.run(command.format(file=file))
    assert result.exited in (2, 127)
    assert "not found" in result.stderr or "Syntax error" in result.stderr
    assert not file.exists()


def test_files_are_the_boards_own(board: Bench) -> None:
    name = f"/tmp/{uuid.uuid4().hex}"
    assert board.run(f"echo hello > {name} && echo more >> {name} && cat {name}").stdout == "hello\nmore\n"
    assert not Path(name).exists()
    assert board.run(f"cat {Path(__file__)}").exited == 1
    assert board.run("cat /etc/passwd /tmp/../etc/passwd").exited == 1


def test_an_environment_request_reaches_the_command(board: Bench) -> None:
    client = board.connect()
    client.open()
    assert client.transport is not None
    channel = client.transport.open_session(timeout=5)
    channel.settimeout(5)
    channel.set_environment_variable("GREETING", "hi there")
    channel.exec_command('echo "$GREETING"')
    assert channel.makefile().read() == b"hi there\n"


def test_stdin_of_a_command_is_what_the_client_sends(board: Bench) -> None:
    client = board.connect()
    client.open()
    assert client.transport is not None
    channel = client.transport.open_session(timeout=5)
    channel.settimeout(5)
    channel.exec_command("cat > /tmp/in; wc -c /tmp/in")
    channel.sendall(b"twelve bytes")
    channel.shutdown_write()
    assert channel.makefile().read() == b"12 /tmp/in\n"


def test_a_shell_that_reads_its_commands_from_stdin_answers_each_line_at_once(board: Bench) -> None:
    client = board.connect()
    client.open()
    assert client.transport is not None
    channel = client.transport.open_session(timeout=5)
    channel.settimeout(5)
    channel.exec_command("sudo -n sh")
    answers = channel.makefile()
    for number in range(3):
        channel.sendall(f"echo {number}\n".encode())
        assert answers.readline() == f"{number}\n"
    channel.sendall(b"while read -r line; do\necho got $line\ndone\nfirst\nsecond\n")
    assert [answers.readline(), answers.readline()] == ["got first\n", "got second\n"]
    channel.shutdown_write()
    assert channel.recv_exit_status() in (0, 1)


def test_an_interactive_shell_echoes_and_prompts(board: Bench) -> None:
    client = board.connect()
    client.open()
    assert client.transport is not None
    channel = client.transport.open_session(timeout=5)
    channel.settimeout(5)
    channel.get_pty()
    channel.invoke_shell()
    seen = b""
    while not seen.endswith(b"debian@sim:~$ "):
        seen += channel.recv(1000)
    channel.sendall(b"echo $USER\r")
    while seen.count(b"debian@sim:~$ ") < 2:
        seen += channel.recv(1000)
    assert b"echo $USER\r\ndebian\r\n" in seen
    channel.sendall(b"exit 4\r")
    assert channel.recv_exit_status() == 4


def test_channels_of_one_connection_run_at_once(board: Bench) -> None:
    board.run("true")
    started = time.monotonic()
    threads = [threading.Thread(target=board.run, args=("sleep 0.5",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 0.5 <= time.monotonic() - started < 1.5


def test_a_key_that_is_not_known_is_refused(board: Bench, tmp_path: Path) -> None:
    stranger = tmp_path / "key"
    stranger.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    client = board.connect(key=str(stranger))
    with pytest.raises(paramiko.AuthenticationException):
        client.open()


def test_loading_and_unloading_show_in_lsmod_sysfs_and_dmesg(board: Bench) -> None:
    assert "shepherd" not in board.run("lsmod").stdout
    started = time.monotonic()
    assert board.run("sudo modprobe -a shepherd").ok
    assert time.monotonic() - started < 0.5
    assert board.run("lsmod | grep -c '^shepherd'").stdout == "1\n"
    assert board.run("cat /sys/shepherd/state /sys/shepherd/mode").stdout == "idle\nharvester\n"
    assert board.run("cat /sys/class/remoteproc/remoteproc1/state").stdout == "running\n"
    assert (
        board.run("echo start | sudo tee /sys/shepherd/state >/dev/null; cat /sys/shepherd/state").stdout == "running\n"
    )
    assert board.run("sudo sh -c 'echo stop > /sys/shepherd/state'; cat /sys/shepherd/state").stdout == "idle\n"
    bad = board.run("sudo sh -c 'echo jump > /sys/shepherd/state'")
    assert (bad.exited, bad.stderr) == (1, "sh: 1: echo: echo: I/O error\n")
    board.run("sudo sh -c 'echo flush > /dev/kmsg'")
    log = board.run("dmesg").stdout
    for pru, pipeline in ((0, 1), (0, 2), (1, 3)):
        assert f"shprd.k: [test passed] received answer from pru{pru} / pipeline {pipeline}\n" in log
    assert board.run("sudo modprobe -rf shepherd").ok
    assert board.run("lsmod | grep shepherd").exited == 1
    assert board.run("[ -d /sys/shepherd ]").exited == 1
    assert board.run("cat /sys/class/remoteproc/remoteproc2/state").stdout == "offline\n"


def test_kmsg_can_be_read_as_it_grows(board: Bench) -> None:
    client = board.connect()
    client.open()
    assert client.transport is not None
    channel = client.transport.open_session(timeout=5)
    channel.settimeout(5)
    channel.exec_command("cat /dev/kmsg")
    lines = channel.makefile()
    assert lines.readline().startswith("0,0,0,-;Booting Linux")
    board.control.printk("grown", level=6)
    while not (line := lines.readline()).endswith(";grown\n"):
        assert line
    channel.close()


def test_dmesg_follows_until_nobody_listens(board: Bench) -> None:
    client = board.connect()
    client.open()
    assert client.transport is not None
    channel = client.transport.open_session(timeout=5)
    channel.settimeout(5)
    channel.exec_command("dmesg -w")
    seen = b""
    while b"login" not in seen and b"Booting Linux" not in seen:
        seen += channel.recv(10000)
    board.control.printk("a new message", level=6)
    while b"a new message\n" not in seen:
        seen += channel.recv(10000)
    channel.close()

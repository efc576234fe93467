"""A bench on which something is wrong: one clear error each, within its time, and nothing left open."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.plugin.conftest import bench_toml

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_shepherd_hil.sim.process import SimProcess
    from tests.suite import Suite

TWO_TESTS = """
import threading
def test_one(shell, console): pass
def test_two(shell): pass
"""


def fails_to_open(suite: Suite, *message: str) -> pytest.RunResult:
    """Run two tests on the bench; each must end in the same error, and in no more than that."""
    result = suite.run(TWO_TESTS, board="bench")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*ERROR at setup of test_one*", *message])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*site-packages*")
    return result


@contextmanager
def server(answer: bytes | None, *, reset: bool = False) -> Iterator[int]:
    """A TCP server that says ``answer`` to everybody (None: never says a word), or resets each connection."""
    listening = socket.create_server(("127.0.0.1", 0))
    accepted = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            accepted.append(connection)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
            elif answer is not None:
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
        for connection in accepted:
            connection.close()


def test_port_that_does_not_exist(suite: Suite, bench: SimProcess) -> None:
    suite.boards(bench_toml(bench, port="/dev/serial/by-id/nothing"))
    fails_to_open(suite, "board bench: cannot open console /dev/serial/by-id/nothing: there is no such device; *")


def test_port_in_use_by_another_program(suite: Suite, bench: SimProcess) -> None:
    with Path(bench.uart).open("rb", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        fails_to_open(
            suite, "board bench: cannot open console *uart: it is in use *; find it with: fuser -v /dev/pts/*"
        )


def test_board_in_use_by_another_run(suite: Suite, bench: SimProcess) -> None:
    from pytest_shepherd_hil.boards import load_boards
    from pytest_shepherd_hil.lock import BoardLock

    lock = BoardLock(load_boards(suite.pytester.path / "boards.toml").board("bench"))
    lock.acquire()
    try:
        fails_to_open(suite, f"board bench is in use by * (pid {os.getpid()}, since *")
    finally:
        lock.release()
    suite.again(board="bench").assert_outcomes(passed=2)


def test_board_in_use_is_waited_for_where_the_user_says_so(suite: Suite, bench: SimProcess) -> None:
    from pytest_shepherd_hil.boards import load_boards
    from pytest_shepherd_hil.lock import BoardLock

    suite.write(TWO_TESTS)
    lock = BoardLock(load_boards(suite.pytester.path / "boards.toml").board("bench"))
    lock.acquire()
    try:
        refused = suite.again("--hil-wait", "0.5", board="bench")
        threading.Timer(10, lock.release).start()
        result = suite.again("--hil-wait", "50", board="bench")
    finally:
        lock.release()
    refused.assert_outcomes(errors=2)
    refused.stdout.fnmatch_lines([f"board bench is still in use after 1 s (--hil-wait) by * (pid {os.getpid()}, *"])
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines([f"hil: bench: in use by * (pid {os.getpid()}, *; waiting for it, at most 50 s"])


def test_a_waiting_time_that_is_none_is_a_usage_error(suite: Suite) -> None:
    for text in ("soon", "-1", "inf", "nan"):
        result = suite.run(TWO_TESTS, f"--hil-wait={text}")
        assert result.ret == 4
        result.stderr.fnmatch_lines(["*--hil-wait: invalid number of seconds value: *"])


def test_ssh_refused(suite: Suite, bench: SimProcess) -> None:
    bench.control.ssh("refuse")
    fails_to_open(suite, "board bench: SSH to debian@127.0.0.1:*: refused: the host is up but nothing listens there*")


def test_ssh_silent(suite: Suite, bench: SimProcess) -> None:
    bench.control.ssh("silent")
    fails_to_open(suite, "board bench: SSH to debian@127.0.0.1:*: silent: no answer within 2 s*")


def test_ssh_reset(suite: Suite, bench: SimProcess) -> None:
    with server(None, reset=True) as port:
        suite.boards(bench_toml(bench, port_number=port))
        fails_to_open(suite, "board bench: SSH to *: reset: *")


def test_ssh_that_never_says_a_word(suite: Suite, bench: SimProcess) -> None:
    with server(None) as port:
        suite.boards(bench_toml(bench, port_number=port))
        fails_to_open(suite, "board bench: SSH to *: silent: the connection stands, but no SSH server said *")


def test_ssh_that_answers_garbage(suite: Suite, bench: SimProcess) -> None:
    with server(b"\x1b[31mHTTP/1.1 400 Bad Request\r\n\r\n" * 200) as port:
        suite.boards(bench_toml(bench, port_number=port))
        result = fails_to_open(suite, "board bench: SSH to *: what answers there is no SSH server*")
    assert "\x1b[31mHTTP" not in result.stdout.str()


def test_ssh_with_the_wrong_key(suite: Suite, bench: SimProcess, tmp_path: Path) -> None:
    import paramiko

    key = tmp_path / "wrong"
    paramiko.RSAKey.generate(2048).write_private_key_file(str(key))
    suite.boards(bench_toml(bench, key=str(key)))
    fails_to_open(suite, f"board bench: SSH to *: log-in refused with key {key}: *ssh-copy-id -p *")


def test_ssh_with_a_key_file_that_is_not_there(suite: Suite, bench: SimProcess) -> None:
    suite.boards(bench_toml(bench, key="/nowhere/key"))
    fails_to_open(suite, "board bench: no key file /nowhere/key; [[]boards.bench.ssh] names it")


def test_ssh_host_that_is_not_the_known_one(suite: Suite, bench: SimProcess, tmp_path: Path) -> None:
    import paramiko

    known = tmp_path / "known_hosts"
    stranger = paramiko.RSAKey.generate(2048)
    known.write_text(f"[127.0.0.1]:{bench.ssh.port} {stranger.get_name()} {stranger.get_base64()}\n")
    suite.boards(bench_toml(bench, known_hosts=str(known)))
    fails_to_open(suite, "board bench: SSH to *: its host key *")


def test_host_name_that_nobody_knows(suite: Suite, bench: SimProcess) -> None:
    suite.boards(bench_toml(bench, host="no-such-board.invalid"))
    fails_to_open(suite, "board bench: SSH to *: unknown name 'no-such-board.invalid' *")


def test_console_that_never_says_a_word(suite: Suite, bench: SimProcess) -> None:
    bench.control.mute_uart()
    fails_to_open(
        suite,
        "board bench: a line written to /dev/kmsg over SSH did not come out of console *; not a single byte did.*",
    )


def test_console_of_another_board(suite: Suite, bench: SimProcess) -> None:
    """A pty on which somebody else talks."""
    master, slave = os.openpty()
    stop = threading.Event()

    def talk() -> None:
        while not stop.wait(0.2):
            os.write(master, b"\xf8\x80\x1b[2Jnot the board you are looking for\r\n")

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        suite.boards(bench_toml(bench, port=os.ttyname(slave)))
        fails_to_open(
            suite,
            "board bench: a line written *console /dev/pts/*, though * bytes of text did: another board's console[?] *",
            "  | *not the board you are looking for",
        )
    finally:
        stop.set()
        thread.join(5)
        os.close(master)
        os.close(slave)


def test_power_command_that_fails_ends_the_boards_run_with_its_output(suite: Suite, bench: SimProcess) -> None:
    toml = bench_toml(bench)
    head, _, _ = toml.partition("cycle = ")
    suite.boards(head + "cycle = \"echo 'no such hub'; exit 3\"\n")
    result = suite.run(
        """
        def test_panics(shell): shell.run("echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger", timeout_s=20)
        def test_next(shell): pass
        """,
        board="bench",
    )
    result.assert_outcomes(failed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "board bench did not come back *",
            "*power command `echo 'no such hub'; exit 3` ended with exit status 3",
            "*no such hub",
        ]
    )


def test_shell_only_and_console_only_boards_work(suite: Suite, bench: SimProcess) -> None:
    toml = bench_toml(bench)
    console = toml[toml.index("[boards.bench.console]") : toml.index("[boards.bench.module]")]
    suite.boards(f"[boards.bench]\n{console}")
    source = """
    def test_console(console):
        console.send("\\n")
        console.expect("login: |[$] ", timeout_s=5)
    def test_shell(shell):
        assert shell.run("uname").ok
    """
    result = suite.run(source, "-rs", board="bench")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*board bench has no shell: its [[]boards.bench.ssh] is missing*"])
    suite.boards(toml.replace(console, ""))
    result = suite.run(source, "-rs", board="bench")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.no_fnmatch_line("*pause of*")  # there is nothing to wait for
    result.stdout.fnmatch_lines(["*board bench has no console: its [[]boards.bench.console] is missing*"])

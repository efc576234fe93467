"""Silent, refused and reset are three different things, and the embedded board can be each."""

from __future__ import annotations

import contextlib
import socket
import time

import paramiko
import pytest

from tests.sim.sim_process import Bench, bench


def connect(board: Bench, timeout_s: float = 2.0) -> socket.socket:
    end = socket.create_connection((board.sim.ssh.host, board.sim.ssh.port), timeout=timeout_s)
    end.settimeout(timeout_s)
    return end


def greeted(board: Bench) -> socket.socket:
    """A connection that has had the SSH server's banner, and what followed it at once."""
    end = connect(board)
    seen = b""
    while b"\r\n" not in seen:
        seen += end.recv(1000)
    assert seen.startswith(b"SSH-2.0-OpenSSH")
    end.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        while end.recv(4000):
            pass
    end.settimeout(2.0)
    return end


def wait_until_served(board: Bench) -> None:
    until = time.monotonic() + 5
    while True:
        try:
            greeted(board).close()
            return
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.02)


def test_a_silent_network_takes_no_connection_and_drops_none() -> None:
    with bench() as board:
        end = greeted(board)
        board.control.ssh("silent")
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            connect(board, 1.5)
        assert time.monotonic() - begun >= 1.4
        end.sendall(b"SSH-2.0-x\r\n")
        end.settimeout(0.3)
        with pytest.raises(TimeoutError):
            end.recv(1)
        board.control.ssh("ok")
        greeted(board).close()
        assert board.run("echo back").stdout == "back\n"


def test_an_established_session_goes_on_when_the_cable_is_mended() -> None:
    with bench() as board:
        board.run("true")
        board.control.ssh("silent")
        board.control.ssh("ok")
        assert board.run("echo same").stdout == "same\n"


def test_a_refusing_network_refuses_and_keeps_what_is_there() -> None:
    with bench() as board:
        board.run("true")
        board.control.ssh("refuse")
        with pytest.raises(ConnectionRefusedError):
            connect(board)
        assert board.run("echo open").stdout == "open\n"
        board.control.ssh("ok")
        greeted(board).close()


def test_connections_can_be_closed_or_reset_once() -> None:
    with bench() as board:
        end = greeted(board)
        board.control.ssh("close")
        assert end.recv(1) == b""
        end = greeted(board)
        board.control.ssh("reset")
        with pytest.raises(ConnectionResetError):
            end.recv(1)
        greeted(board).close()


def test_a_command_that_runs_ends_when_its_connection_is_reset() -> None:
    with bench() as board:
        client = board.connect()
        client.open()
        assert client.transport is not None
        channel = client.transport.open_session(timeout=5)
        channel.exec_command("sleep 60")
        board.control.ssh("reset")
        assert channel.status_event.wait(5)
        assert not client.transport.is_active()


def test_garbage_and_no_banner_at_all() -> None:
    with bench() as board:
        board.control.ssh("garbage")
        end = connect(board)
        assert not end.recv(200).startswith(b"SSH-")
        client = board.connect(timeout_s=1)
        with pytest.raises((paramiko.SSHException, EOFError, OSError)):
            client.open()
        board.control.ssh("mute")
        end = connect(board)
        end.settimeout(0.5)
        with pytest.raises(TimeoutError):
            end.recv(1)
        board.control.ssh("ok")
        greeted(board).close()


def test_a_board_without_power_is_silent_refuses_while_booting_and_then_resets() -> None:
    with bench() as board:
        end = greeted(board)
        board.control.power_off()
        with pytest.raises(TimeoutError):
            connect(board, 0.5)
        end.settimeout(0.3)
        with pytest.raises(TimeoutError):
            end.recv(1)
        board.control.power_on()
        with pytest.raises(ConnectionRefusedError):
            connect(board)
        end.settimeout(5)
        with pytest.raises(ConnectionResetError):
            end.recv(1)
        wait_until_served(board)


def test_a_hung_board_is_silent_until_it_is_reset() -> None:
    with bench() as board:
        end = greeted(board)
        board.control.hang()
        assert board.control.status()["hung"]
        with pytest.raises(TimeoutError):
            connect(board, 0.5)
        board.control.power_cycle()
        end.settimeout(5)
        with pytest.raises(ConnectionResetError):
            end.recv(1)


def test_many_connections_come_and_go() -> None:
    with bench() as board:
        for _ in range(30):
            client = board.connect()
            assert client.run("echo x", hide=True, in_stream=False).stdout == "x\n"
            client.close()
        assert board.run("echo y").stdout == "y\n"


def test_a_large_output_comes_through_whole() -> None:
    with bench() as board:
        board.run("sudo dmesg -n 1")
        board.control.kernel_lines("\n".join(f"line {number} {'x' * 80}" for number in range(3000)))
        lines = board.run("dmesg").stdout.splitlines()
        assert len([line for line in lines if "line " in line]) == 3000


def test_a_rebooting_board_closes_its_connections_by_itself() -> None:
    with bench() as board:
        end = greeted(board)
        start = board.console.mark
        assert board.run("sudo reboot").exited == 0
        assert end.recv(1) == b""
        board.console.wait_for("reboot: Restarting system", after=start)
        board.wait_booted(after=start)
        board.hang_up()
        wait_until_served(board)
        assert board.run("true").ok


def test_poweroff_needs_somebody_to_switch_it_on_again() -> None:
    with bench() as board:
        start = board.console.mark
        assert board.run("sudo poweroff").exited == 0
        board.console.wait_for("reboot: Power down", after=start)
        start = board.console.mark
        board.control.power_on()
        board.wait_booted(after=start)
        assert board.control.status()["epoch"] == 2

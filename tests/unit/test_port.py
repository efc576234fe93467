"""The serial port: what opening one can say, and how a port that is lost shows."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.console.port import PortLostError, SerialPort
from pytest_shepherd_hil.errors import BoardError, ConsoleError, HilError, HostError
from tests.unit.uart import WAIT_S, Uart, open_files, soon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def uart() -> Iterator[Uart]:
    uart = Uart()
    yield uart
    uart.unplug()


@pytest.fixture
def port(uart: Uart) -> Iterator[SerialPort]:
    port = SerialPort(uart.path, 115200, board="b")
    yield port
    port.close()


def error_of_opening(url: str, baudrate: int = 115200) -> HilError:
    """What opening says; it must leave nothing open."""
    before = open_files()
    with pytest.raises(HilError) as caught:
        SerialPort(url, baudrate, board="b")
    assert open_files() == before
    assert re.search(r"[\x00-\x1f\x7f-\x9f]", str(caught.value)) is None
    return caught.value


# opening


def test_a_device_that_is_not_there_is_the_hosts_fault() -> None:
    error = error_of_opening("/dev/serial/by-id/usb-none")
    assert isinstance(error, HostError)
    assert str(error) == (
        "board b: cannot open console /dev/serial/by-id/usb-none: there is no such device; "
        "is the adapter plugged in? ls -l /dev/serial/by-id/"
    )


def test_a_device_of_somebody_else_names_the_group(uart: Uart) -> None:
    os.chmod(uart.path, 0)  # noqa: PTH101
    said, says = os.pipe()
    pid = os.fork()
    if pid == 0:  # root may open anything: ask as nobody
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            SerialPort(uart.path, 115200, board="b")
        except HilError as error:
            os.write(says, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(says)
    os.waitpid(pid, 0)
    text = os.read(said, 4096).decode()
    os.close(said)
    assert text == (
        f"HostError: board b: cannot open console {uart.path}: permission denied; "
        "sudo usermod -aG dialout $USER, and log in anew"
    )


def test_a_device_that_another_program_has_open_is_in_use(uart: Uart) -> None:
    code = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('mine', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, uart.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdin is not None
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "mine\n"
        error = error_of_opening(uart.path)
    finally:
        other.communicate("\n")
    assert isinstance(error, ConsoleError)
    assert str(error) == (
        f"board b: cannot open console {uart.path}: it is in use by another program; find it with: fuser -v {uart.path}"
    )
    SerialPort(uart.path, 115200, board="b").close()


def test_an_open_port_is_locked_against_others(uart: Uart, port: SerialPort) -> None:
    other = os.open(uart.path, os.O_RDWR | os.O_NOCTTY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    port.close()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


@pytest.mark.parametrize("url", ["foo://x", "://", "loop//:x://"])
def test_a_url_of_no_known_kind_shows_the_right_form(url: str) -> None:
    error = error_of_opening(url)
    assert isinstance(error, HostError)
    assert "write a device path or a pyserial URL such as socket://host:port" in str(error)


@pytest.mark.parametrize("url", ["socket://", "socket://lab", "socket://lab:99999", "socket://:1", "rfc2217://lab"])
def test_a_network_url_without_host_or_port_shows_the_right_form(url: str) -> None:
    error = error_of_opening(url)
    assert isinstance(error, HostError)
    assert str(error).startswith(f"board b: cannot open console {url}: ")
    assert "write a device path or a pyserial URL such as socket://host:port" in str(error)


@pytest.mark.parametrize("url", ["/dev/null", "/tmp", "/etc/hostname"])
def test_what_is_no_serial_device_says_so(url: str) -> None:
    error = error_of_opening(url)
    assert isinstance(error, HostError)
    assert str(error).startswith(f"board b: cannot open console {url}: it is no serial device; ")


@pytest.mark.parametrize("url", ["/dev/\x1b[31m", "\x00", "/dev/a\nb", "x\x9b31m://", "socket://127.0.0.1:1/\x1b[31m"])
def test_a_hostile_name_is_shown_harmlessly(url: str) -> None:
    error_of_opening(url)  # looks for what a terminal obeys


@pytest.mark.parametrize("scheme", ["socket", "rfc2217"])
def test_a_server_that_refuses_is_the_boards_fault(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        number = server.getsockname()[1]
    error = error_of_opening(f"{scheme}://127.0.0.1:{number}")
    assert isinstance(error, ConsoleError)
    assert not isinstance(error, PortLostError)
    assert "Connection refused" in str(error)


# reading and writing


def test_a_read_gives_what_has_come(uart: Uart, port: SerialPort) -> None:
    uart.say(b"\x00\xff\r\nabc")
    data = b""
    while len(data) < 7:
        data += port.read(WAIT_S)
    assert data == b"\x00\xff\r\nabc"


def test_a_read_of_a_silent_port_is_empty_after_its_time(port: SerialPort) -> None:
    started = time.monotonic()
    assert port.read(0.1) == b""
    assert 0.09 <= time.monotonic() - started < 2


def test_cancel_wakes_a_waiting_read(port: SerialPort) -> None:
    started = time.monotonic()
    timer = soon(port.cancel)
    assert port.read(60) == b""
    timer.join()
    assert time.monotonic() - started < 5


def test_a_written_byte_arrives_as_it_is(uart: Uart, port: SerialPort) -> None:
    port.write(bytes(range(256)))
    assert uart.heard(256) == bytes(range(256))


def test_a_port_that_takes_nothing_is_not_waited_for(
    port: SerialPort, uart: Uart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SerialPort, "WRITE_TIMEOUT_S", 0.2)
    stuck = Uart()
    slow = SerialPort(stuck.path, 115200, board="b")
    with pytest.raises(ConsoleError, match=r"took no byte for 0\.2 s \(flow control\? adapter hung\?\)"):
        slow.write(b"x" * (1 << 20))
    slow.close()
    stuck.unplug()


def test_a_server_can_be_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = SerialPort(f"socket://127.0.0.1:{server.getsockname()[1]}", 115200, board="b")
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"U-Boot")
            data = b""
            while len(data) < 6:
                data += port.read(WAIT_S)
            assert data == b"U-Boot"
            port.write(b"reset")
            assert peer.recv(5) == b"reset"
        with pytest.raises(PortLostError, match=r"board b: console socket://127\.0\.0\.1:\d+ is gone: "):
            port.read(WAIT_S)
        port.close()


# losing


def test_an_unplugged_port_is_lost_to_every_use(uart: Uart, port: SerialPort) -> None:
    uart.unplug()
    for use in (lambda: port.read(WAIT_S), lambda: port.write(b"x"), port.send_break):
        with pytest.raises(PortLostError) as caught:
            use()
        assert str(caught.value).startswith(f"board b: console {uart.path}")
        assert "(unplugged?)" in str(caught.value)
        assert isinstance(caught.value, BoardError)


def test_what_was_lost_is_told_without_the_board(uart: Uart, port: SerialPort) -> None:
    uart.unplug()
    with pytest.raises(PortLostError) as caught:
        port.read(WAIT_S)
    assert caught.value.what.startswith(f"{uart.path} is gone: ")
    assert str(caught.value) == f"board b: console {caught.value.what}"


def test_a_port_unplugged_during_a_read_is_lost_at_once(uart: Uart, port: SerialPort) -> None:
    started = time.monotonic()
    timer = soon(uart.unplug)
    with pytest.raises(PortLostError):
        port.read(60)
    timer.join()
    assert time.monotonic() - started < 5


def test_a_closed_port_is_lost_and_closing_twice_is_fine(port: SerialPort) -> None:
    port.close()
    port.close()
    port.cancel()
    for use in (lambda: port.read(1), lambda: port.write(b"x"), port.send_break):
        with pytest.raises(PortLostError):
            use()


def test_a_port_closed_under_a_reader_ends_its_read(uart: Uart, port: SerialPort) -> None:
    ends: list[object] = []

    def read() -> None:
        try:
            ends.append(port.read(30))
        except PortLostError as error:
            ends.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    port.cancel()
    port.close()
    reader.join(WAIT_S)
    assert not reader.is_alive()
    assert len(ends) == 1
    assert ends[0] == b"" or isinstance(ends[0], PortLostError)


def test_ports_leave_nothing_open(tmp_path: Path) -> None:
    before = open_files()
    for _ in range(5):
        uart = Uart()
        port = SerialPort(uart.path, 115200, board="b")
        port.read(0.001)
        uart.unplug()
        with pytest.raises(PortLostError):
            port.read(1)
        port.close()
    assert open_files() == before

"""Where console bytes come from and where they go to."""

from __future__ import annotations

import errno
import os
import select
import termios
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import serial

from pytest_shepherd_hil.errors import ConsoleError, HostError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Port", "PortLostError", "SerialPort"]


class PortLostError(ConsoleError):
    """The port went away while it was in use: adapter unplugged, server gone.

    Attributes:
        what: which port, and how it was seen to be gone; without the board's name.
    """

    def __init__(self, board: str, what: str) -> None:
        super().__init__(f"board {board}: console {what}")
        self.what = what


class Port(Protocol):
    """A console's two directions. One thread reads; any thread may write, break, cancel and close."""

    def read(self, timeout_s: float) -> bytes:
        """What has come in, at least one byte; empty after ``timeout_s`` seconds of silence or after :meth:`cancel`.

        Raises:
            PortLostError: the port is gone.
        """

    def write(self, data: bytes) -> None:
        """Send bytes to the board.

        Raises:
            PortLostError: the port is gone.
            ConsoleError: this port cannot be written to, or does not take the bytes in time.
        """

    def send_break(self) -> None:
        """Hold the line in BREAK for a moment; the kernel takes the next character as a SysRq command."""

    def cancel(self) -> None:
        """Wake a waiting :meth:`read`."""

    def close(self) -> None:
        """Give the port back. Closing twice is fine."""


# pyserial lets termios' own errors through, which are no OSError; TypeError is its answer when another thread has
# closed the port under it.
_GONE = (serial.SerialException, OSError, TypeError, termios.error)


class SerialPort:
    """A serial port, by device path or by any pyserial URL.

    Args:
        url: device path or pyserial URL.
        baudrate: bits a second.
        board: name of the board, for error messages.
        break_sender: sends a BREAK where the port itself cannot carry one (a pty loses it).

    Raises:
        HostError: there is no such device, or it may not be opened by this user.
        ConsoleError: somebody else has it open, or the server behind a URL does not answer.
    """

    WRITE_TIMEOUT_S = 5.0
    BREAK_S = 0.25
    READ_MOST = 32 << 10

    def __init__(self, url: str, baudrate: int, *, board: str, break_sender: Callable[[], None] | None = None) -> None:
        self.url = printable(url)
        self.board = board
        self._break_sender = break_sender
        try:
            self._serial = serial.serial_for_url(url, baudrate=baudrate, do_not_open=True)
            self._serial.timeout = 0.5
            self._serial.write_timeout = self.WRITE_TIMEOUT_S
            if "://" not in url:
                self._serial.exclusive = True
            self._serial.open()
        except (serial.SerialException, OSError, ValueError) as error:
            raise _explain_open(url, board, error) from error

    def read(self, timeout_s: float) -> bytes:
        try:
            abort = getattr(self._serial, "pipe_abort_read_r", None)
            if abort is not None:
                return self._read_device(self._serial.fileno(), abort, timeout_s)
            if self._serial.timeout != timeout_s:
                self._serial.timeout = timeout_s
            first = self._serial.read(1)
            waiting = min(self._serial.in_waiting, self.READ_MOST) if first else 0
            return bytes(first + self._serial.read(waiting)) if waiting else bytes(first)
        except _GONE as error:
            raise PortLostError(self.board, f"{self.url} is gone: {_reason(error)}") from error

    def _read_device(self, device: int, abort: int, timeout_s: float) -> bytes:
        """As pyserial reads, with fewer system calls: what floods in is had in large pieces."""
        data = self._waiting(device)
        if data:
            return data
        ready, _, _ = select.select([device, abort], [], [], timeout_s)
        if abort in ready:
            os.read(abort, 1000)
            return b""
        if not ready:
            return b""
        data = self._waiting(device)
        if not data:
            raise serial.SerialException("it is ready to be read, but has nothing to read (unplugged?)")
        return data

    def _waiting(self, device: int) -> bytes:
        """What can be read now."""
        parts: list[bytes] = []
        size = 0
        while size < self.READ_MOST:
            try:
                part = os.read(device, self.READ_MOST)
            except BlockingIOError:
                break
            except OSError:
                if parts:  # next time
                    break
                raise
            if not part:  # nothing there: the device is set to wait for nothing
                break
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        try:
            self._serial.write(data)
            self._serial.flush()
        except serial.SerialTimeoutException as error:
            raise ConsoleError(
                f"board {self.board}: console {self.url} took no byte for {self.WRITE_TIMEOUT_S:g} s "
                "(flow control? adapter hung?)"
            ) from error
        except _GONE as error:
            raise PortLostError(self.board, f"{self.url} is gone: {_reason(error)}") from error

    def send_break(self) -> None:
        if self._break_sender is not None:
            self._break_sender()
            return
        try:
            self._serial.send_break(self.BREAK_S)
        except _GONE as error:
            raise PortLostError(self.board, f"{self.url}: no BREAK: {_reason(error)}") from error

    def cancel(self) -> None:
        cancel_read = getattr(self._serial, "cancel_read", None)
        if cancel_read is not None and self._serial.is_open:
            cancel_read()

    def close(self) -> None:
        self._serial.close()


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return f"{text} (unplugged?)" if isinstance(error, TypeError) or "Input/output error" in text else text


def _whole(url: str) -> bool:
    """Whether a network URL has both host and port."""
    if not url.startswith(("socket://", "rfc2217://")):
        return True
    try:
        parts = urlsplit(url)
        return parts.hostname is not None and parts.port is not None
    except ValueError:
        return False


def _explain_open(url: str, board: str, error: Exception) -> HostError | ConsoleError:
    """Tell apart what pyserial reports as one kind of exception."""
    where = f"board {board}: cannot open console {printable(url)}"
    number = getattr(error, "errno", None)
    text = printable(str(error))
    if number == errno.ENOENT or "No such file" in text:
        return HostError(f"{where}: there is no such device; is the adapter plugged in? ls -l /dev/serial/by-id/")
    if number == errno.EACCES or "Permission denied" in text:
        return HostError(f"{where}: permission denied; sudo usermod -aG dialout $USER, and log in anew")
    if number in (errno.EAGAIN, errno.EBUSY) or "exclusively lock" in text or "busy" in text:
        return ConsoleError(
            f"{where}: it is in use by another program; find it with: fuser -v {printable(os.path.realpath(url))}"
        )
    if number in (errno.EISDIR, errno.ENOTTY) or "Inappropriate ioctl" in text:
        return HostError(f"{where}: it is no serial device; name one of ls -l /dev/serial/by-id/ in boards.toml")
    if isinstance(error, ValueError) or not _whole(url):
        return HostError(f"{where}: {text}; write a device path or a pyserial URL such as socket://host:port")
    return ConsoleError(f"{where}: {text}")

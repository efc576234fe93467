"""Any analyzer that libsigrok knows, through ``sigrok-cli`` as a child process that streams raw samples."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_shepherd_hil.errors import HostError, LogicError
from pytest_shepherd_hil.logic import srzip
from pytest_shepherd_hil.logic.samples import pack, unitsize_of

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import LogicConfig

__all__ = ["SigrokCli"]

_READ_BYTES = 1 << 20
_F_SETPIPE_SZ: Final = getattr(fcntl, "F_SETPIPE_SZ", 1031)


class SigrokCli:
    """A running ``sigrok-cli --continuous``.

    Before it, a handful of samples is taken into a file: a driver sends units as wide as it likes, with a channel's bit
    where the analyzer has it, and only the file says which bit is whose. That first run also finds everything that can
    be wrong with the device.

    Args:
        config: driver, device, samplerate and channels.
        board: name of the board, for error messages.

    Raises:
        HostError: sigrok-cli is not installed.
        LogicError: no such driver, device, channel or samplerate.
    """

    COMMAND = "sigrok-cli"
    START_S = 15.0
    STOP_S = 1.0

    def __init__(self, config: LogicConfig, board: str) -> None:
        self.board = board
        self.channels = tuple(config.channels)
        self.unitsize = unitsize_of(len(self.channels))
        self._driver = config.driver
        self._device = config.driver + (f":conn={config.conn}" if config.conn else "")
        self._where = f"board {board}: logic analyzer {self._device}"
        self._options = [
            "--driver",
            self._device,
            "--config",
            f"samplerate={config.samplerate}",
            "--channels",
            ",".join(self.channels),
        ]
        layout = self._rehearse(config.samplerate)
        self.samplerate = layout.samplerate
        self._raw_unitsize = layout.unitsize
        self._bits = [layout.bits[channel] for channel in self.channels]
        self._left = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        try:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                [self.COMMAND, *self._options, "--continuous", "--output-format", "binary"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._stderr.close()
            raise self._cannot_run(error) from error
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        with suppress(OSError):  # more room for samples while this process is busy; a limit may forbid it
            fcntl.fcntl(self._out, _F_SETPIPE_SZ, _READ_BYTES)

    def _rehearse(self, samplerate: int) -> srzip.Layout:
        with tempfile.TemporaryDirectory(prefix="shepherd-hil-") as folder:
            file = Path(folder, "first.sr")
            command = [self.COMMAND, *self._options, "--samples", "64", "--output-file", str(file)]
            try:
                done = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=self.START_S,
                    start_new_session=True,
                    check=False,
                )
            except OSError as error:
                raise self._cannot_run(error) from error
            except subprocess.TimeoutExpired as error:
                raise LogicError(
                    f"{self._where} gave not one sample within {self.START_S:g} s; is it busy, or waiting for a "
                    "trigger? Unplug it and plug it in again"
                ) from error
            said = (done.stderr + done.stdout).decode("utf-8", errors="replace").strip()
            if done.returncode != 0 or not file.exists():
                raise self._explain(said, done.returncode)
            layout = srzip.read_layout(file)
        missing = [channel for channel in self.channels if channel not in layout.bits]
        if missing:
            raise LogicError(
                f"{self._where} has no logic channel {missing[0]!r}; of those asked for it gives "
                f"{', '.join(layout.bits)}"
            )
        if layout.samplerate != samplerate:
            raise LogicError(
                f"{self._where} does not take {samplerate} samples a second, but {layout.samplerate}; "
                f"see sigrok-cli --driver {self._device} --show for those it can"
            )
        return layout

    def _cannot_run(self, error: OSError) -> HostError:
        if not isinstance(error, FileNotFoundError):
            return HostError(f"{self._where}: cannot run {self.COMMAND}: {error.strerror or error}")
        packages = "sigrok-cli" + (" sigrok-firmware-fx2lafw" if self._driver == "fx2lafw" else "")
        return HostError(f"{self._where}: {self.COMMAND} is not installed; apt-get install {packages}")

    def _explain(self, said: str, code: int) -> LogicError:
        """What sigrok-cli said before it gave up, in words that help."""
        quoted = said[-500:] or "nothing"
        if "No devices found" in said:
            package = "sigrok-firmware-fx2lafw"
            firmware = f" Is its firmware there (apt-get install {package})?" if self._driver == "fx2lafw" else ""
            return LogicError(
                f"{self._where}: no such device found. Is it plugged in (lsusb), may this user open it (group "
                f"plugdev), is no other program using it?{firmware} sigrok-cli said: {quoted}"
            )
        if f"Driver {self._driver} not found" in said:
            return LogicError(
                f"{self._where}: this libsigrok has no driver {self._driver!r}; sigrok-cli --list-supported names "
                "those that it has"
            )
        if "unknown channel" in said or "Invalid channel" in said:
            return LogicError(f"{self._where}: {quoted} See sigrok-cli --driver {self._device} --show for those it has")
        return LogicError(f"{self._where}: sigrok-cli ended with {code} before it took a sample; it said: {quoted}")

    def read(self, timeout_s: float) -> bytes:
        """Further samples; see :class:`~pytest_shepherd_hil.logic.acquisition.Acquisition`."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if not poll.poll(max(0.0, timeout_s) * 1000):
            return b""
        try:
            data = os.read(self._out, _READ_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            raise self._gone()
        data = self._left + data if self._left else data
        whole = len(data) // self._raw_unitsize * self._raw_unitsize
        self._left = data[whole:]
        return pack(data[:whole], self._raw_unitsize, self._bits)

    def _gone(self) -> LogicError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self.STOP_S)
        self._stderr.seek(0)
        said = self._stderr.read().decode("utf-8", errors="replace").strip()[-500:] or "nothing"
        code = self._process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with {code}"
        return LogicError(
            f"{self._where} stopped in the middle: sigrok-cli {how} and said: {said}. Was it unplugged, or is "
            f"{self.samplerate} Hz more than its USB port can carry?"
        )

    def close(self) -> None:
        """Stop it as its user would, with a key (closing its stdin would make it spin); else by force."""
        process = self._process
        if self._stderr.closed:
            return
        try:
            if process.poll() is None and process.stdin is not None:
                with suppress(OSError):
                    process.stdin.write(b"q")
                self._drain(time.monotonic() + self.STOP_S)
            for stop in (signal.SIGTERM, signal.SIGKILL):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.2)
                    break
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, stop)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(self.STOP_S)
        finally:
            if process.poll() is None:
                process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            self._stderr.close()

    def _drain(self, deadline: float) -> None:
        """Take what it still has to say: it does not look at its stdin while its stdout is full."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            with suppress(BlockingIOError):
                if poll.poll(left * 1000) and not os.read(self._out, _READ_BYTES):
                    return

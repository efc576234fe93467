"""Any analyzer that libsigrok knows, through ``sigrok-cli`` as a child process that streams raw samples."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_shepherd_hil.errors import HilError, LogicError
from pytest_shepherd_hil.logic import srzip
from pytest_shepherd_hil.logic.acquisition import DriverMissingError, SamplerateError
from pytest_shepherd_hil.logic.child import end, tied
from pytest_shepherd_hil.logic.samples import pack, unitsize_of
from pytest_shepherd_hil.logic.sigrok_errors import not_begun, stopped, supported_rates

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import LogicConfig

__all__ = ["SigrokCli"]

_READ_BYTES = 1 << 20
_GATHER_S = 0.004
"""How long samples are let gather, where the pipe has room for them: sigrok-cli writes thousands of times a second."""
_F_SETPIPE_SZ: Final = getattr(fcntl, "F_SETPIPE_SZ", 1031)


class SigrokCli:
    """A running ``sigrok-cli --continuous``.

    Before it, a handful of samples is taken into a file: a driver sends units as wide as it likes, with a channel's bit
    where the analyzer has it, and only the file says which bit is whose. That first run also finds everything that can
    be wrong with the device.

    Args:
        config: driver, device, samplerate, channels and further options.
        board: name of the board, for error messages.

    Raises:
        HilError: it cannot be begun; each way has its own class, see :mod:`~pytest_shepherd_hil.logic.acquisition`.
    """

    COMMAND = "sigrok-cli"
    START_S = 15.0
    STOP_S = 1.0
    LOOK_S = 10.0

    def __init__(self, config: LogicConfig, board: str) -> None:
        self.board = board
        self.channels = tuple(config.channels)
        self.unitsize = unitsize_of(len(self.channels))
        self._driver = config.driver.partition(":")[0]
        self._device = config.driver + (f":conn={config.conn}" if config.conn else "")
        self._where = f"board {board}: logic analyzer {self._device}"
        settings = {"samplerate": config.samplerate, **config.options}
        self._options = [
            "--driver",
            self._device,
            "--config",
            ":".join(f"{key}={_word(value)}" for key, value in settings.items()),
            "--channels",
            ",".join(self.channels),
        ]
        if shutil.which(self.COMMAND) is None:
            packages = "sigrok-cli" + (" sigrok-firmware-fx2lafw" if self._driver == "fx2lafw" else "")
            raise DriverMissingError(f"{self._where}: {self.COMMAND} is not installed; apt-get install {packages}")
        layout = self._rehearse(config.samplerate)
        self.samplerate = layout.samplerate
        self._raw_unitsize = layout.unitsize
        self._bits = [layout.bits[channel] for channel in self.channels]
        self._left = b""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            tied([self.COMMAND, *self._options, "--continuous", "--output-format", "binary"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
            bufsize=0,
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        self._gather_s = 0.0
        with suppress(OSError):  # more room for samples while this process is busy; a limit may forbid it
            fcntl.fcntl(self._out, _F_SETPIPE_SZ, _READ_BYTES)
            self._gather_s = _GATHER_S

    def _rehearse(self, samplerate: int) -> srzip.Layout:
        with tempfile.TemporaryDirectory(prefix="shepherd-hil-") as folder:
            file = Path(folder, "first.sr")
            options = [*self._options, "--samples", "64", "--output-file", str(file)]
            try:
                code, said = self._run(*options, limit_s=self.START_S)
            except subprocess.TimeoutExpired as error:
                raise LogicError(
                    f"{self._where} gave not one sample within {self.START_S:g} s; is it busy, or waiting for a "
                    "trigger? Unplug it and plug it in again"
                ) from error
            if code != 0 or not file.exists():
                raise not_begun(self._where, self._driver, self._device, samplerate, code, said, self._look)
            layout = srzip.read_layout(file)
        missing = [channel for channel in self.channels if channel not in layout.bits]
        if missing:
            raise LogicError(
                f"{self._where} has no logic channel {missing[0]!r}; of those asked for it gives "
                f"{', '.join(layout.bits)}"
            )
        if layout.samplerate != samplerate:
            raise SamplerateError(
                f"{self._where} does not take {samplerate} samples a second, but {layout.samplerate}; "
                f"{supported_rates(self._device, self._look)}"
            )
        return layout

    def _run(self, *arguments: str, limit_s: float) -> tuple[int, str]:
        """Exit status and words of a run that ends by itself."""
        done = subprocess.run(
            tied([self.COMMAND, *arguments]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            start_new_session=True,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", errors="replace").strip()

    def _look(self, what: str) -> str:
        """What ``--scan`` or ``--show`` print of the device; nothing where that does not end in time."""
        with suppress(subprocess.TimeoutExpired):
            return self._run("--driver", self._device, what, limit_s=self.LOOK_S)[1]
        return ""

    def read(self, timeout_s: float) -> bytes:
        """Further samples; see :class:`~pytest_shepherd_hil.logic.acquisition.Acquisition`."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if not poll.poll(max(0.0, timeout_s) * 1000):
            return b""
        time.sleep(self._gather_s)
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

    def _gone(self) -> HilError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self.STOP_S)
        self._stderr.seek(0)
        said = self._stderr.read().decode("utf-8", errors="replace").strip()
        return stopped(self._where, self._driver, self.samplerate, self._process.returncode, said, self._look)

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
        finally:
            end(process, self.STOP_S)
            self._stderr.close()

    def _drain(self, deadline: float) -> None:
        """Take what it still has to say: it does not look at its stdin while its stdout is full."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            with suppress(BlockingIOError):
                if poll.poll(left * 1000) and not os.read(self._out, _READ_BYTES):
                    return


def _word(value: object) -> str:
    """A setting as sigrok-cli reads it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)

"""An analyzer that has a hardware plugin for pysigrok, as the Raspberry Pi Pico: it takes one block of samples."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError, LogicError
from pytest_shepherd_hil.logic.acquisition import (
    DeviceBusyError,
    DeviceForbiddenError,
    DeviceLostError,
    DeviceMissingError,
    DriverMissingError,
    OverrunError,
    SamplerateError,
)
from pytest_shepherd_hil.logic.child import end, tied
from pytest_shepherd_hil.logic.samples import pack, unitsize_of
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import LogicConfig

__all__ = ["PysigrokBlock"]

_READ_BYTES = 1 << 20
_MAX_LINE = 1 << 16
_WHAT: dict[str, tuple[type[HilError], str]] = {
    "driver": (DriverMissingError, "pip install the package that brings it, e.g. pysigrok-hardware-raspberrypi-pico"),
    "missing": (DeviceMissingError, "is it plugged in, and does 'conn' name its port? ls -l /dev/serial/by-id/"),
    "busy": (DeviceBusyError, "end the other program that has it: fuser -v on its port"),
    "forbidden": (DeviceForbiddenError, "sudo usermod -aG dialout $USER, and log in anew"),
    "samplerate": (SamplerateError, "correct 'samplerate'"),
    "overrun": (OverrunError, "sample more slowly, or fewer channels"),
    "lost": (DeviceLostError, "was it unplugged?"),
    "failed": (LogicError, "unplug it and plug it in again; does 'options' have what this plugin takes?"),
}


class PysigrokBlock:
    """An acquisition of so many samples, and then of none; the plugin runs in a child process.

    Args:
        config: the plugin, its port, samplerate, channels and options.
        board: name of the board, for error messages.
        samples: how many to take.

    Raises:
        HilError: it did not work; each way has its own class.
    """

    START_S = 20.0
    """How long the plugin may take beside the time of the samples themselves."""
    STOP_S = 1.0

    def __init__(self, config: LogicConfig, board: str, samples: int) -> None:
        self.channels = tuple(config.channels)
        self.unitsize = unitsize_of(len(self.channels))
        self._where = f"board {board}: logic analyzer {config.driver}"
        self._config = config
        request = {
            "plugin": config.plugin,
            "conn": config.conn,
            "samplerate": config.samplerate,
            "channels": list(self.channels),
            "options": config.options,
            "samples": samples,
        }
        path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(Path(__file__).parents[2])])
        module = "pytest_shepherd_hil.logic.pysigrok_child"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            tied([sys.executable, "-P", "-W", "ignore", "-m", module, json.dumps(request)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._out, False)
        try:
            self._begin(samples)
        except BaseException:
            self.close()
            raise

    def _begin(self, samples: int) -> None:
        limit_s = self.START_S + samples / self._config.samplerate
        line = self._line(time.monotonic() + limit_s)
        if line is None:
            raise LogicError(
                f"{self._where} brought nothing within {limit_s:g} s; unplug it and plug it in again. {self._words()}"
            )
        try:
            answer = json.loads(line)
            if "error" in answer:
                kind, advice = _WHAT[answer["error"]]
                conn = f" at {printable(self._config.conn)}" if self._config.conn else ""
                what = f"{self._config.samplerate} Hz: " if answer["error"] == "samplerate" else ""
                raise kind(f"{self._where}{conn}: {what}{printable(answer['says'], 500)}; {advice}")
            self.samplerate = int(answer["samplerate"])
            there = [str(channel) for channel in answer["channels"]]
        except (ValueError, KeyError, TypeError) as error:
            raise LogicError(f"{self._where} ended without a word of sense: {line[:200]!r}. {self._words()}") from error
        missing = [channel for channel in self.channels if channel not in there]
        if missing:
            raise LogicError(f"{self._where} has no channel {missing[0]!r}; it gave {', '.join(there)}")
        self._raw_unitsize = unitsize_of(len(there))
        self._bits = [there.index(channel) for channel in self.channels]

    def _line(self, deadline: float) -> bytes | None:
        """The first line that it says; what follows it is kept. Without a newline where it ended first."""
        got = b""
        while b"\n" not in got and len(got) < _MAX_LINE:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            if select.select([self._out], [], [], left_s)[0]:
                data = os.read(self._out, _READ_BYTES)
                if not data:
                    break
                got += data
        line, _, self._left = got.partition(b"\n")
        return line

    def _words(self) -> str:
        self._said.seek(0)
        said = self._said.read()[-500:].decode("utf-8", "replace").strip()
        return f"It said: {printable(said, 500)}" if said else "It said nothing."

    def read(self, timeout_s: float) -> bytes:
        """Further samples; see :class:`~pytest_shepherd_hil.logic.acquisition.Acquisition`."""
        if len(self._left) < self._raw_unitsize:
            if self._process.poll() is not None and not select.select([self._out], [], [], 0)[0]:
                time.sleep(timeout_s)
                return b""
            if not select.select([self._out], [], [], max(timeout_s, 0.0))[0]:
                return b""
            data = os.read(self._out, _READ_BYTES)
            if not data:
                time.sleep(timeout_s)
                return b""
            self._left += data
        whole = len(self._left) // self._raw_unitsize * self._raw_unitsize
        samples, self._left = self._left[:whole], self._left[whole:]
        return pack(samples, self._raw_unitsize, self._bits)

    def close(self) -> None:
        """End the child process."""
        if self._said.closed:
            return
        end(self._process, self.STOP_S)
        self._said.close()

"""The embedded board's probe: samples over a Unix stream socket.

Asked with one JSON line, ``{"samplerate": 1000000, "channels": ["D0", "D1"]}``, it answers with one, ``{"ok": true,
"samplerate": 1000000, "unitsize": 1}`` or ``{"ok": false, "error": "why"}``, and then sends raw samples in real time.
"""

from __future__ import annotations

import json
import select
import socket
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic.acquisition import DeviceLostError, DeviceMissingError
from pytest_shepherd_hil.logic.samples import unitsize_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_shepherd_hil.boards import LogicConfig

__all__ = ["ProbeSocket"]

_READ_BYTES = 1 << 18
_MAX_ANSWER = 1 << 16


class ProbeSocket:
    """An acquisition from such a probe.

    Args:
        path: its socket.
        config: samplerate and channels to ask for.
        board: name of the board, for error messages.

    Raises:
        LogicError: nobody listens there, or the probe refuses or does not answer within ``ANSWER_S``.
    """

    ANSWER_S = 5.0

    def __init__(self, path: str | Path, config: LogicConfig, board: str) -> None:
        self.board = board
        self.path = str(path)
        self.channels = tuple(config.channels)
        self.unitsize = unitsize_of(len(self.channels))
        self._where = f"board {board}: probe {self.path}"
        self._left = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.samplerate = self._start(config.samplerate)
        except OSError as error:
            self.close()
            raise DeviceMissingError(
                f"{self._where} cannot be opened: {error.strerror or error}; is the board's process alive?"
            ) from error
        except BaseException:
            self.close()
            raise

    def _start(self, samplerate: int) -> int:
        self._socket.settimeout(self.ANSWER_S)
        self._socket.connect(self.path)
        request = {"samplerate": samplerate, "channels": list(self.channels)}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        line = self._answer()
        self._socket.setblocking(False)
        try:
            answer = json.loads(line)
            if answer["ok"]:
                rate, unitsize = int(answer["samplerate"]), int(answer["unitsize"])
                if rate > 0 and unitsize == self.unitsize:
                    return rate
        except (ValueError, KeyError, TypeError) as error:
            raise LogicError(f"{self._where} gave an answer that is none: {line[:200]!r}") from error
        if answer["ok"]:
            raise LogicError(f"{self._where} offers {line[:200]!r}; expected samples of {self.unitsize} bytes")
        raise LogicError(
            f"{self._where} refuses {samplerate} Hz on {', '.join(self.channels)}: {answer.get('error', 'no reason')}"
        )

    def _answer(self) -> bytes:
        """The answer's line; what follows it is kept for :meth:`read`."""
        deadline = time.monotonic() + self.ANSWER_S
        got = b""
        while b"\n" not in got:
            if len(got) > _MAX_ANSWER:
                raise LogicError(f"{self._where} gave an answer that does not end: {got[:80]!r}…")
            if not self._ready(deadline - time.monotonic()):
                raise LogicError(f"{self._where} did not answer within {self.ANSWER_S:g} s")
            data = self._socket.recv(4096)
            if not data:
                raise LogicError(f"{self._where} closed the connection instead of an answer; got {got[:80]!r}")
            got += data
        line, _, self._left = got.partition(b"\n")
        return line

    def _ready(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, timeout_s) * 1000))

    def read(self, timeout_s: float) -> bytes:
        """Further samples; see :class:`~pytest_shepherd_hil.logic.acquisition.Acquisition`."""
        if len(self._left) < self.unitsize:
            if not self._ready(timeout_s):
                return b""
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                return b""
            except OSError as error:
                raise DeviceLostError(f"{self._where} is gone: {error.strerror or error}") from error
            if not data:
                raise DeviceLostError(f"{self._where} is gone: it closed the connection; was it unplugged?")
            self._left += data
        whole = len(self._left) // self.unitsize * self.unitsize
        samples, self._left = self._left[:whole], self._left[whole:]
        return samples

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

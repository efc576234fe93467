"""A recorded file as an analyzer: it is played at the rate at which it was recorded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic.acquisition import DeviceLostError
from pytest_shepherd_hil.logic.capture import Capture
from pytest_shepherd_hil.logic.samples import pack, unitsize_of
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import LogicConfig

__all__ = ["Replay"]

_BLOCK_S = 0.01
_MOST_BYTES = 1 << 20


class Replay:
    """An acquisition of what is in a ``.sr`` file or in Saleae's ``digital.csv``, from its first sample on.

    After the last sample it begins again where ``loop`` says so; else that is the end, as if it were unplugged.

    Args:
        config: file, channels and ``loop``. Where it names no channels, those of the file.
        board: name of the board, for error messages.

    Raises:
        LogicError: the file cannot be read, is empty, or lacks a channel.
    """

    def __init__(self, config: LogicConfig, board: str) -> None:
        assert config.file is not None
        recorded = Capture.load(config.file)
        self._where = f"board {board}: replay of {printable(str(config.file))}"
        self.samplerate = recorded.samplerate
        self.channels = tuple(config.channels) if "channels" in config.model_fields_set else recorded.channels
        for channel in self.channels:
            if channel not in recorded.channels:
                raise LogicError(f"{self._where}: it has no channel {channel!r}, but {', '.join(recorded.channels)}")
        self.unitsize = unitsize_of(len(self.channels))
        bits = [recorded.channels.index(channel) for channel in self.channels]
        self._samples = pack(recorded.samples, recorded.unitsize, bits)
        self._total = len(self._samples) // self.unitsize
        if not self._total:
            raise LogicError(f"{self._where}: it has not one sample")
        self._loop = config.loop
        self._started = time.monotonic()
        self._done = 0
        self._block = min(max(1, round(self.samplerate * _BLOCK_S)), _MOST_BYTES // self.unitsize)

    def read(self, timeout_s: float) -> bytes:
        """Further samples; see :class:`~pytest_shepherd_hil.logic.acquisition.Acquisition`."""
        at = self._done % self._total
        if self._done and at == 0 and not self._loop:
            raise DeviceLostError(
                f"{self._where} is over after {self._total / self.samplerate:g} s; loop = true plays it again and again"
            )
        count = min(self._block, self._total - at)
        wait_s = self._started + (self._done + count) / self.samplerate - time.monotonic()
        if wait_s > timeout_s:
            time.sleep(max(timeout_s, 0.0))
            return b""
        time.sleep(max(wait_s, 0.0))
        if wait_s < 0:  # late: what has become due meanwhile, too
            due = int((time.monotonic() - self._started) * self.samplerate) - self._done
            count = min(max(due, count), self._total - at, _MOST_BYTES // self.unitsize)
        self._done += count
        return self._samples[at * self.unitsize : (at + count) * self.unitsize]

    def close(self) -> None:
        """Let the samples go."""
        self._samples = b""

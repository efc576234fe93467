"""What a channel says as a UART, character for character with its place among the samples."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.logic.frames import BREAK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pytest_shepherd_hil.logic.capture import Capture

__all__ = ["Spoken", "bare", "likely_channels", "listen"]

_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n"


def bare(text: bytes) -> bytes:
    """A console's bytes without those that come and go on their way: carriage returns, and NULs (breaks)."""
    return text.translate(None, b"\r\0")


@dataclass(frozen=True, slots=True)
class Spoken:
    """A channel's characters, without breaks, carriage returns and NULs."""

    channel: str
    """The analyzer's name of the channel."""
    data: bytes
    starts: NDArray[np.int64]
    """``int64``, shape (characters,): the first sample of each start bit."""
    samples_per_bit: float

    def end(self, at: int) -> int:
        """The first sample after a character."""
        return int(self.starts[at]) + ceil(10 * self.samples_per_bit)

    @property
    def is_text(self) -> bool:
        """Whether a person could have meant it: most of it can be printed."""
        return bool(self.data) and 2 * len(self.data.translate(None, _PRINTABLE)) < len(self.data)


def listen(capture: Capture, channel: str, baudrate: float) -> Spoken:
    """Read a channel as a UART of 8 data bits without parity.

    Raises:
        LogicError: no such channel, or too few samples a bit.
    """
    uart = capture.uart(channel, baudrate)
    frames = uart.frames
    values = frames.values.astype(np.uint8)
    kept = (frames.codes != BREAK) & (values != 0x0D) & (values != 0)
    name = capture.channels[capture.bit(channel)]
    return Spoken(name, values[kept].tobytes(), frames.start_samples[kept], uart.samples_per_bit)


def likely_channels(capture: Capture, channel: str | None) -> list[str]:
    """The analyzer's names of the channels that may carry the console, the likeliest first.

    Args:
        channel: the one that does, where that is known.

    Raises:
        LogicError: there is no such channel.
    """
    if channel is not None:
        return [capture.channels[capture.bit(channel)]]
    return sorted(capture.channels, key=lambda name: -_likelihood(capture.names.get(name, name).lower()))


def _likelihood(name: str) -> int:
    return 2 if name == "uart_tx" else any(word in name for word in ("uart", "console", "tx"))

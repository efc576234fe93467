"""Where in a capture the console said a line: ties samples to the console's record to within a bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pytest_shepherd_hil.errors import LogicError, MisuseError
from pytest_shepherd_hil.logic.frames import BREAK
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.logic.capture import Capture

__all__ = ["LineAt", "SaidLine", "find_line"]


class SaidLine(Protocol):
    """A line with its bytes, as :class:`pytest_shepherd_hil.console.log.ConsoleLine` is one."""

    @property
    def raw(self) -> bytes:
        """The line's bytes, with or without what ends it."""


@dataclass(frozen=True, slots=True)
class LineAt:
    """Where a line lies in a capture."""

    channel: str
    """The analyzer's name of the channel that says it."""
    start_sample: int
    """The first sample of its first character's start bit."""
    end_sample: int
    """The first sample after its last character."""
    start_s: float
    """The same in seconds from the capture's beginning, good to a sample."""
    end_s: float


def find_line(
    capture: Capture, line: str | bytes | SaidLine, channel: str | None, baudrate: float, occurrence: int
) -> LineAt:
    """See :meth:`pytest_shepherd_hil.logic.capture.Capture.at_console_line`."""
    wanted = line.encode() if isinstance(line, str) else line if isinstance(line, bytes) else line.raw
    wanted = wanted.strip(b"\r\n")
    if not wanted:
        raise MisuseError("capture.at_console_line(): an empty line is everywhere; give one with text")
    channels = [capture.channels[capture.bit(channel)]] if channel is not None else list(capture.channels)
    most = 0
    for name in channels:
        uart = capture.uart(name, baudrate)
        said = uart.frames.codes != BREAK
        places = _places(uart.data, wanted)
        if -len(places) <= occurrence < len(places):
            first = places[occurrence]
            starts = uart.frames.start_samples[said]
            start = int(starts[first])
            end = int(starts[first + len(wanted) - 1] + np.ceil(10 * uart.samples_per_bit))
            return LineAt(name, start, end, start / capture.samplerate, end / capture.samplerate)
        most = max(most, len(places))
    where = "channel " + channels[0] if len(channels) == 1 else "any channel of " + ", ".join(channels)
    shown = printable(wanted.decode("utf-8", errors="replace"), 80)
    raise LogicError(
        f"{shown!r} is not on {printable(where)} at {baudrate:.9g} baud"
        + (f" that often, only {most} times" if most else "")
    )


def _places(data: bytes, wanted: bytes) -> list[int]:
    """Where it is, as a whole line if it is one somewhere; else as a part of lines."""
    places, at = [], data.find(wanted)
    while at >= 0:
        places.append(at)
        at = data.find(wanted, at + 1)
    whole = [
        at
        for at in places
        if (not at or data[at - 1] in b"\r\n") and data[at + len(wanted) : at + len(wanted) + 1] in (b"\r", b"\n", b"")
    ]
    return whole or places

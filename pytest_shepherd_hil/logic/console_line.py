"""Where in a capture the console said a line: by that line alone. All of a console's lines: :mod:`.time_line`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_shepherd_hil.errors import LogicError, MisuseError
from pytest_shepherd_hil.logic.sample_clock import HOST_TIME_S
from pytest_shepherd_hil.logic.spoken import bare, likely_channels, listen
from pytest_shepherd_hil.logic.time_line import LineAt
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from pytest_shepherd_hil.logic.capture import Capture
    from pytest_shepherd_hil.logic.spoken import Spoken

__all__ = ["LineAt", "SaidLine", "find_line"]


class SaidLine(Protocol):
    """A line with its bytes, as :class:`pytest_shepherd_hil.console.log.ConsoleLine` is one."""

    @property
    def raw(self) -> bytes:
        """The line's bytes, with or without what ends it."""


def find_line(
    capture: Capture, line: str | bytes | SaidLine, channel: str | None, baudrate: float, occurrence: int | None
) -> LineAt:
    """See :meth:`pytest_shepherd_hil.logic.capture.Capture.at_console_line`."""
    wanted = bare(line.encode() if isinstance(line, str) else line if isinstance(line, bytes) else line.raw)
    wanted = wanted.strip(b"\n")
    if not wanted:
        raise MisuseError("capture.at_console_line(): an empty line is everywhere; give one with text")
    read_ns = getattr(line, "time_ns", None)
    about = None
    if occurrence is None and read_ns is not None and capture.host_ns is not None:
        about = round((read_ns - capture.host_ns) * capture.samplerate / 1e9)
    channels = likely_channels(capture, channel)
    most = 0
    for name in channels:
        spoken = listen(capture, name, baudrate)
        places = _places(spoken.data, wanted)
        if about is not None:
            places.sort(key=lambda at, spoken=spoken: abs(spoken.end(at + len(wanted) - 1) - about))  # type: ignore[misc]
        which = occurrence or 0
        if -len(places) <= which < len(places):
            return _at(capture, spoken, places[which], len(wanted), 1 / baudrate)
        most = max(most, len(places))
    if about is not None and 0 < about <= len(capture):
        start = max(0, about - round(10 * len(wanted) * capture.samplerate / baudrate))
        rate = capture.samplerate
        return LineAt(None, start, about, start / rate, about / rate, "host time", HOST_TIME_S)
    where = "channel " + channels[0] if len(channels) == 1 else "any channel of " + ", ".join(sorted(channels))
    shown = printable(wanted.decode("utf-8", errors="replace"), 80)
    raise LogicError(
        f"{shown!r} is not on {printable(where)} at {baudrate:.9g} baud"
        + (f" that often, only {most} times" if most else "")
    )


def _at(capture: Capture, spoken: Spoken, first: int, length: int, within_s: float) -> LineAt:
    start, end = int(spoken.starts[first]), spoken.end(first + length - 1)
    rate = capture.samplerate
    return LineAt(spoken.channel, start, end, start / rate, end / rate, "decoded text", within_s)


def _places(data: bytes, wanted: bytes) -> list[int]:
    """Where it is, as a whole line if it is one somewhere; else as a part of lines."""
    places, at = [], data.find(wanted)
    while at >= 0:
        places.append(at)
        at = data.find(wanted, at + 1)
    whole = [
        at
        for at in places
        if (not at or data[at - 1] == 0x0A) and data[at + len(wanted) : at + len(wanted) + 1] in (b"\n", b"")
    ]
    return whole or places

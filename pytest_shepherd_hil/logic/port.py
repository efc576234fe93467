"""A logic analyzer's channel as a console: what a UART says there, read only."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.port import PortLostError
from pytest_shepherd_hil.errors import ConsoleError, HilError, LogicError
from pytest_shepherd_hil.logic.line_format import least_samplerate, too_slow
from pytest_shepherd_hil.logic.samples import unitsize_of
from pytest_shepherd_hil.logic.uart import UartDecoder
from pytest_shepherd_hil.text import first_line

if TYPE_CHECKING:
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
    from pytest_shepherd_hil.logic.baudrate import UartGuess

__all__ = ["ChannelPort"]


class ChannelPort:
    """A :class:`~pytest_shepherd_hil.console.port.Port` that decodes a channel as it is sampled.

    The analyzer stays open as long as the port does; captures and recordings are of the same samples. Characters with
    framing or parity errors come out as a serial port would give them, breaks do not.

    Args:
        analyzer: the board's.
        channel: the analyzer's name of it (``D0``) or the board's (``uart_tx``).
        baudrate: bits a second.
        board: name of the board, for error messages.

    Raises:
        LogicError: the analyzer could not be opened, has no such channel, or takes fewer than 8 samples a bit.
        HostError: this computer lacks what the driver needs.

    Attributes:
        lost_samples: how many were overrun because nobody read in time; the text has a gap there.
        framing_errors: how many characters had no stop bit; many of them mean a wrong rate.
        glitches: how many pulses were shorter than half a bit.
    """

    READ_S = 0.005
    """How much is decoded at once at least: what a character waits for before it is seen."""
    CANCEL_S = 0.1
    MEASURED_S = 15.0

    def __init__(self, analyzer: LogicAnalyzer, channel: str, baudrate: int, *, board: str) -> None:
        self.board = board
        self.channel = channel
        self._channel_prefix = f"board {board}: logic channel {channel} "
        self._baudrate = baudrate
        self._analyzer = analyzer
        self._cancelled = False
        self._open = ExitStack()
        self.lost_samples = self.framing_errors = self.glitches = 0
        try:
            self._follower = self._open.enter_context(analyzer.following())
            self._bit = self._find(channel, analyzer.config.channels)
            self._decoder = self._new_decoder()
        except BaseException:
            self._open.close()
            raise

    def _find(self, channel: str, names: dict[str, str]) -> int:
        there = self._follower.channels
        for number, each in enumerate(there):
            if channel in (each, names.get(each)):
                return number
        shown = ", ".join(f"{each} ({names[each]})" if each in names else each for each in there)
        raise LogicError(f"board {self.board}: no channel {channel!r} for the console; the analyzer gives {shown}")

    def _new_decoder(self) -> UartDecoder:
        unitsize = unitsize_of(len(self._follower.channels))
        rate = self._follower.samplerate
        least = least_samplerate(self._baudrate)
        if rate < least:
            raise LogicError(
                f"board {self.board}: console on logic channel {self.channel}: {too_slow(rate, self._baudrate)}; "
                f"set samplerate to {least} Hz or more in [boards.{self.board}.logic]"
            )
        return UartDecoder(rate, self._baudrate, unitsize=unitsize, bit=self._bit)

    def read(self, timeout_s: float) -> bytes:
        """What has come in; see :class:`~pytest_shepherd_hil.console.port.Port`."""
        deadline = time.monotonic() + timeout_s
        while not self._cancelled:
            left = deadline - time.monotonic()
            try:
                lost, samples = self._follower.take(self.READ_S, min(max(left, 0.0), self.CANCEL_S))
            except HilError as error:
                what = f"on logic channel {self.channel} is gone: {first_line(error)}"
                raise PortLostError(self.board, what) from error
            if lost:
                self.lost_samples += lost
                self._decoder = self._new_decoder()
            frames = self._decoder.feed(samples)
            self.glitches += len(frames.glitches)
            if frames:
                self.framing_errors += sum(frame.error == "framing" for frame in frames.errors)
                if data := frames.data:
                    return data
            if left <= 0:
                break
        self._cancelled = False
        return b""

    @property
    def overrun_s(self) -> float:
        """How many seconds of samples were overrun because nobody read in time."""
        return self.lost_samples / self._follower.samplerate

    def guess(self, seconds: float = 2.0) -> UartGuess:
        """What rate and format the channel's last seconds have, for a console that says what nobody can read.

        Raises:
            LogicError: that cannot be told; the message says why.
        """
        held = self._analyzer.snapshot(since_ns=time.monotonic_ns() - round(2 * seconds * 1e9))
        if held is None:
            raise LogicError(f"{self._channel_prefix}has no samples yet")
        try:
            return held.between(held.duration_s - seconds, held.duration_s).guess_uart(self.channel)
        except LogicError as error:
            raise LogicError(f"{self._channel_prefix}{error}") from error

    def measured(self) -> str:
        """What :meth:`guess` finds in the last ``MEASURED_S`` seconds, or why it finds nothing, in words."""
        try:
            found = self.guess(self.MEASURED_S)
        except LogicError as error:
            return first_line(error).replace(self._channel_prefix, "the channel ")
        doubt = f" ({found.doubt})" if found.doubt else ""
        return f"{found.baudrate:.9g} baud, parity {found.parity}{doubt}"

    def write(self, data: bytes) -> None:
        """Not possible.

        Raises:
            ConsoleError: always; an analyzer only listens.
        """
        raise ConsoleError(f"{self._read_only()}: cannot send {data[:40]!r}")

    def send_break(self) -> None:
        """Not possible.

        Raises:
            ConsoleError: always; an analyzer only listens.
        """
        raise ConsoleError(f"{self._read_only()}: cannot send a BREAK")

    def _read_only(self) -> str:
        return (
            f"board {self.board}: console on logic channel {self.channel} is read only; "
            "give the board a 'port' in [boards.NAME.console] to write"
        )

    def cancel(self) -> None:
        """Wake a waiting :meth:`read`, within a tenth of a second."""
        self._cancelled = True

    def close(self) -> None:
        """Let the analyzer go, unless a capture still runs. Closing twice is fine."""
        self._open.close()

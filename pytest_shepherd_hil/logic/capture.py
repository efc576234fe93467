"""A finished capture: samples, what the channels are called, and what can be asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic import srzip
from pytest_shepherd_hil.logic.samples import bit_column, unitsize_of
from pytest_shepherd_hil.logic.uart import Parity, UartDecoder, UartFrame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Capture", "Uart"]

_BLOCK_SAMPLES = 1 << 20


@dataclass(frozen=True, slots=True)
class Uart:
    """What a channel said, read as a UART."""

    frames: tuple[UartFrame, ...]
    """Every character, those with errors and breaks too; sample numbers as in the capture."""
    samples_per_bit: float
    """How finely the line was sampled; below 8 the text is not to be trusted blindly."""

    @property
    def data(self) -> bytes:
        """The characters, those with framing or parity errors too (as a serial port gives them), without breaks.

        Of characters with 9 data bits, the lower 8.
        """
        return bytes(frame.value & 0xFF for frame in self.frames if frame.error != "break")

    @property
    def text(self) -> str:
        """:attr:`data` as UTF-8; what is not UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", errors="replace")

    @property
    def errors(self) -> tuple[UartFrame, ...]:
        """The frames that are not clean characters."""
        return tuple(frame for frame in self.frames if frame.error is not None)


@dataclass(frozen=True, slots=True)
class Capture:
    """Samples of a logic analyzer's channels.

    Attributes:
        samplerate: samples a second, in Hz.
        channels: the analyzer's names of the channels, in bit order: bit *i* of a sample is ``channels[i]``.
        samples: one unit of :attr:`unitsize` bytes, little-endian, for each sample.
        names: an analyzer's channel to the board's name for it, as in ``boards.toml``.
        first_sample: how many samples of the same acquisition came before these and are no longer held.
        path: the file it was loaded from, if it was.

    Raises:
        LogicError: the samples are not whole units, or there are no channels.
    """

    samplerate: int
    channels: tuple[str, ...]
    samples: bytes = field(repr=False)
    names: Mapping[str, str] = field(default_factory=dict)
    first_sample: int = 0
    path: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.channels or self.samplerate <= 0:
            raise LogicError(f"a capture needs channels and a samplerate, not {self.channels} and {self.samplerate} Hz")
        if len(self.samples) % self.unitsize:
            raise LogicError(f"{len(self.samples)} bytes are not whole samples of {self.unitsize} bytes")

    @classmethod
    def load(cls, path: str | Path) -> Capture:
        """Read a ``.sr`` file, of any sigrok version, unit size and age.

        Raises:
            LogicError: it is not one, is damaged, or is absurdly large; the message names the file.
        """
        found = srzip.read(path)
        return cls(found.samplerate, found.channels, found.samples, found.names, found.first_sample, found.path)

    def save(self, path: str | Path) -> None:
        """Write a ``.sr`` file, which PulseView and sigrok-cli read. It is there as a whole, or not at all.

        Raises:
            HostError: it cannot be written.
        """
        srzip.write(
            path, self.samplerate, self.channels, self.samples, names=self.names, first_sample=self.first_sample
        )

    def __len__(self) -> int:
        """How many samples."""
        return len(self.samples) // self.unitsize

    @property
    def unitsize(self) -> int:
        """Bytes in a sample."""
        return unitsize_of(len(self.channels))

    @property
    def duration_s(self) -> float:
        """How long it is, in seconds."""
        return len(self) / self.samplerate

    def bits(self, channel: str) -> bytes:
        """One channel's levels: one byte, 0 or 1, for each sample."""
        return bit_column(self.samples, self.unitsize, self.bit(channel))

    def bit(self, channel: str) -> int:
        """Which bit of a sample a channel is.

        Args:
            channel: the analyzer's name (``D0``) or the board's (``uart_tx``).

        Raises:
            LogicError: there is no such channel; the message lists those that there are.
        """
        if channel in self.channels:
            return self.channels.index(channel)
        for analyzer, board in self.names.items():
            if board == channel and analyzer in self.channels:
                return self.channels.index(analyzer)
        there = ", ".join(f"{name} ({self.names[name]})" if name in self.names else name for name in self.channels)
        raise LogicError(f"no channel {channel!r} in this capture; it has {there}")

    def edges(self, channel: str) -> list[int]:
        """Every sample number at which the channel's level differs from the sample before."""
        line = self.bits(channel)
        found: list[int] = []
        if line:
            level, at = line[0] ^ 1, 0
            while (at := line.find(level, at)) >= 0:
                found.append(at)
                level ^= 1
        return found

    def uart(
        self,
        channel: str,
        baudrate: int = 115200,
        *,
        data_bits: int = 8,
        parity: Parity = "none",
        stop_bits: int = 1,
        invert: bool = False,
        coarse: bool | None = None,
    ) -> Uart:
        """What the channel says, read as a UART.

        Args:
            channel: the analyzer's name (``D0``) or the board's (``uart_tx``).
            baudrate: bits a second.
            data_bits: 5 to 9.
            parity: ``none``, ``odd`` or ``even``.
            stop_bits: 1 or 2.
            invert: the line idles low.
            coarse: accept 3 to 8 samples a bit. Where not given, a file is read as well as it can be, and a capture
                made here, which can be made again at a higher samplerate, is refused.

        Raises:
            LogicError: no such channel, too few samples a bit, or a setting that no UART has.
        """
        rough = self.path is not None if coarse is None else coarse
        decoder = UartDecoder(self.samplerate, baudrate, data_bits, parity, stop_bits, invert, coarse=rough)
        frames: list[UartFrame] = []
        for block in self._blocks(self.bit(channel)):
            frames += decoder.feed(block)
        frames += decoder.finish()
        return Uart(tuple(frames), decoder.samples_per_bit)

    def _blocks(self, bit: int) -> Iterator[bytes]:
        """A channel's levels, a piece at a time, so that a long capture is not held twice."""
        size = _BLOCK_SAMPLES * self.unitsize
        for at in range(0, len(self.samples), size):
            yield bit_column(self.samples[at : at + size], self.unitsize, bit)

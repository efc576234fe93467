"""A finished capture: samples, what the channels are called, and what can be asked of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.errors import LogicError, MisuseError
from pytest_shepherd_hil.logic import srzip
from pytest_shepherd_hil.logic.baudrate import MAX_EDGES, UartGuess, guess_uart
from pytest_shepherd_hil.logic.console_line import SaidLine, find_line
from pytest_shepherd_hil.logic.edges import EdgeFinder
from pytest_shepherd_hil.logic.frames import UartFrame, UartFrames
from pytest_shepherd_hil.logic.pulses import duty_of, frequency_of, pulses_of
from pytest_shepherd_hil.logic.saleae import read_csv
from pytest_shepherd_hil.logic.samples import bit_column, unitsize_of
from pytest_shepherd_hil.logic.time_line import HeardLine, LineAt, TimeLine, tie
from pytest_shepherd_hil.logic.uart import Parity, UartDecoder
from pytest_shepherd_hil.logic.vcd import write_vcd
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from pytest_shepherd_hil.logic.decode import Annotation

__all__ = ["Capture", "Uart"]


@dataclass(frozen=True, slots=True)
class Uart:
    """What a channel said, read as a UART."""

    frames: UartFrames
    """Every character, those with errors and breaks too; sample numbers as in the capture."""
    samplerate: int
    """Samples a second, in Hz."""
    samples_per_bit: float
    """How finely the line was sampled; below 8 the text is not to be trusted blindly."""

    @property
    def data(self) -> bytes:
        """The characters, those with framing or parity errors too (as a serial port gives them), without breaks.

        Of characters with 9 data bits, the lower 8.
        """
        return self.frames.data

    @property
    def text(self) -> str:
        """:attr:`data` as UTF-8; what is not UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", errors="replace")

    @property
    def times_s(self) -> NDArray[np.float64]:
        """When each of :attr:`frames` began, in seconds from the capture's first sample; shape (characters,)."""
        return self.frames.start_samples / self.samplerate

    @property
    def errors(self) -> tuple[UartFrame, ...]:
        """The frames that are not clean characters."""
        return self.frames.errors

    @property
    def glitches(self) -> NDArray[np.int64]:
        """The first samples of pulses shorter than half a bit; shape (glitches,)."""
        return self.frames.glitches


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
        host_ns: host time of the first sample, in ``time.monotonic_ns()``, to about 0.1 s; None where nobody knows it.
        notes: what was passed over when it was loaded, such as analog channels.

    Raises:
        LogicError: the samples are not whole units, or there are no channels.
    """

    samplerate: int
    channels: tuple[str, ...]
    samples: bytes = field(repr=False)
    names: Mapping[str, str] = field(default_factory=dict)
    first_sample: int = 0
    path: Path | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)
    host_ns: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.channels or self.samplerate <= 0:
            raise LogicError(f"a capture needs channels and a samplerate, not {self.channels} and {self.samplerate} Hz")
        if len(self.samples) % self.unitsize:
            raise LogicError(f"{len(self.samples)} bytes are not whole samples of {self.unitsize} bytes")

    @classmethod
    def load(cls, path: str | Path, *, on_progress: Callable[[int, int], None] | None = None) -> Capture:
        """Read a ``.sr`` file, of any sigrok version, unit size and age, or a ``.csv`` that Saleae Logic exported.

        Args:
            path: the file.
            on_progress: told how many of how many bytes have been read.

        Raises:
            LogicError: it is neither, is damaged, or is absurdly large; the message names the file.
        """
        if Path(path).suffix.lower() == ".csv":
            export = read_csv(path, on_progress=on_progress)
            return cls(export.samplerate, export.channels, export.samples, path=export.path, notes=export.notes)
        found = srzip.read(path, on_progress=on_progress)
        return cls(
            found.samplerate, found.channels, found.samples, found.names, found.first_sample, found.path, found.notes
        )

    def save(self, path: str | Path) -> None:
        """Write a ``.sr`` file, which PulseView and sigrok-cli read. It is there as a whole, or not at all.

        Raises:
            HostError: it cannot be written.
        """
        srzip.write(
            path, self.samplerate, self.channels, self.samples, names=self.names, first_sample=self.first_sample
        )

    def save_vcd(self, path: str | Path) -> None:
        """Write a Value Change Dump, for GTKWave and others. It is there as a whole, or not at all.

        Raises:
            HostError: it cannot be written.
        """
        write_vcd(path, self.samplerate, self.channels, self.samples, names=self.names)

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
        raise LogicError(f"no channel {channel!r} in this capture; it has {printable(there)}")

    def edges(self, channel: str) -> NDArray[np.int64]:
        """Where the channel's level differs from the sample before: sample numbers, shape (edges,).

        Divided by :attr:`samplerate` they are seconds from the capture's beginning.

        Raises:
            LogicError: there is no such channel.
        """
        return self._edges(channel)[0]

    def pulses(self, channel: str, level: int | None = None) -> NDArray[np.void]:
        """The channel's pulses, from edge to edge; what was cut off at either end of the capture is not one.

        Args:
            channel: the analyzer's name (``D0``) or the board's (``uart_tx``).
            level: 1 for the high ones only, 0 for the low ones.

        Returns:
            A structured array, shape (pulses,), with the fields ``start_sample`` (int64), ``duration_s`` (float64,
            seconds) and ``level`` (uint8): ``capture.pulses("D1", level=1)["duration_s"].max()``.

        Raises:
            LogicError: there is no such channel.
        """
        edges, initial = self._edges(channel)
        return pulses_of(edges, initial, self.samplerate, level)

    def frequency(self, channel: str) -> float:
        """How often the channel's level repeats, in Hz: the mean over all whole periods; 0.0 without a whole period.

        Raises:
            LogicError: there is no such channel.
        """
        return frequency_of(self._edges(channel)[0], self.samplerate)

    def duty(self, channel: str) -> float:
        """How much of the time the channel is high, 0.0 to 1.0.

        Over all whole periods; over the whole capture where there is no whole period.

        Raises:
            LogicError: there is no such channel.
        """
        edges, initial = self._edges(channel)
        return duty_of(edges, initial, len(self))

    def between(self, t0: float, t1: float) -> Capture:
        """The samples from ``t0`` on and before ``t1``, in seconds from this capture's beginning.

        Times beyond the capture's ends mean the ends. Of what comes out, :attr:`first_sample` says where it was.

        Raises:
            MisuseError: ``t1`` is before ``t0``, or one of them is no time.
        """
        if not (math.isfinite(t0) and math.isfinite(t1) and t0 <= t1):
            raise MisuseError(f"capture.between({t0!r}, {t1!r}): give two times in seconds, the earlier one first")
        start, end = (min(max(round(time * self.samplerate), 0), len(self)) for time in (t0, t1))
        samples = self.samples[start * self.unitsize : end * self.unitsize]
        later_ns = start * 1_000_000_000 // self.samplerate
        return replace(
            self,
            samples=samples,
            first_sample=self.first_sample + start,
            host_ns=self.host_ns + later_ns if self.host_ns is not None else None,
        )

    def uart(
        self,
        channel: str,
        baudrate: float = 115200,
        *,
        data_bits: int = 8,
        parity: Parity = "none",
        stop_bits: float = 1,
        invert: bool = False,
        coarse: bool | None = None,
    ) -> Uart:
        """What the channel says, read as a UART.

        Args:
            channel: the analyzer's name (``D0``) or the board's (``uart_tx``).
            baudrate: bits a second.
            data_bits: 5 to 9.
            parity: ``none``, ``odd``, ``even``, ``mark`` or ``space``.
            stop_bits: 1, 1.5 or 2.
            invert: the line idles low.
            coarse: accept 3 to 8 samples a bit. Where not given, a file is read as well as it can be, and a capture
                made here, which can be made again at a higher samplerate, is refused.

        Raises:
            LogicError: no such channel, too few samples a bit, or a setting that no UART has.
        """
        rough = self.path is not None if coarse is None else coarse
        decoder = UartDecoder(
            self.samplerate,
            baudrate,
            data_bits,
            parity,
            stop_bits,
            invert,
            coarse=rough,
            unitsize=self.unitsize,
            bit=self.bit(channel),
        )
        frames = UartFrames.join([decoder.feed(self.samples), decoder.finish()])
        return Uart(frames, self.samplerate, decoder.samples_per_bit)

    def guess_uart(self, channel: str) -> UartGuess:
        """Measure the rate of the UART that the channel carries, and guess its format.

        ``capture.uart("D0", capture.guess_uart("D0").baudrate)`` reads it. Where it might be something else than a
        UART, :attr:`UartGuess.doubt <pytest_shepherd_hil.logic.baudrate.UartGuess.doubt>` says why.

        Raises:
            LogicError: no such channel; or it is no UART, and the message, a clause without a subject, says why.
        """
        finder = EdgeFinder(self.unitsize, self.bit(channel))
        edges = np.empty(0, np.int64)
        for found in finder.feed(self.samples):
            edges = np.concatenate([edges, found])
            if len(edges) > MAX_EDGES:
                break
        return guess_uart(edges, finder.initial or 0, finder.total, self.samplerate)

    def decode(
        self, decoder: str, *, options: Mapping[str, object] | None = None, annotations: bool = False, **pins: str
    ) -> list[Annotation]:
        """Run one of sigrok's decoders: ``capture.decode("i2c", sda="D2", scl="D3")``.

        It imports pysigrok, which is GPLv3+.

        Args:
            decoder: sigrok's id of it.
            options: the decoder's options that differ from their defaults.
            annotations: give what the decoder shows to people.
            **pins: the decoder's pins, each with the channel that it is on.

        Raises:
            LogicError, HostError: as :func:`pytest_shepherd_hil.logic.decode.decode`, which takes the same.
        """
        from pytest_shepherd_hil.logic.decode import decode

        return decode(self, decoder, pins, options, annotations=annotations)

    def at_console_line(
        self,
        line: str | bytes | SaidLine,
        *,
        channel: str | None = None,
        baudrate: float = 115200,
        occurrence: int | None = None,
    ) -> LineAt:
        """Where the capture has a line that the console said, to within a bit: its own text is looked for.

        ``said = capture.at_console_line("shepherd: started")``, then ``capture.between(said.end_s, said.end_s + 1)``.
        For many lines, and for those that are damaged or equal, ask :meth:`time_line`.

        Args:
            line: its text, or a line of ``console.lines()``. A part of a line will do where no whole one is the same.
            channel: which one to look at; where not given, every one, and the first that says it counts.
            baudrate: bits a second.
            occurrence: which, if it is there several times; 0 is the first, -1 the last. Where not given, the one that
                was said when the line of ``console.lines()`` was read, or else the first.

        Returns:
            Its place. A line of ``console.lines()`` that no channel says is placed by the host's time, to about 0.1 s;
            :attr:`LineAt.tied <pytest_shepherd_hil.logic.time_line.LineAt.tied>` says which.

        Raises:
            LogicError: no such channel, the line is not there, or there are too few samples a bit.
            MisuseError: the line is empty.
        """
        return find_line(self, line, channel, baudrate, occurrence)

    def time_line(
        self, lines: Sequence[HeardLine], *, channel: str | None = None, baudrate: float = 115200
    ) -> TimeLine:
        """Tie the samples to all of the console's lines: ``capture.time_line(console.lines()).at(line)``.

        Args:
            lines: of the console, in their order; more than were said meanwhile do no harm.
            channel: the one that carries the console; where not given, each is looked at.
            baudrate: bits a second.

        Returns:
            It is tied by decoded text, to within a bit, where a channel says the lines; else by the host's time.

        Raises:
            LogicError: no such channel; or no channel says the lines, and when the capture was made is not known.
        """
        return tie(self, lines, channel=channel, baudrate=baudrate)

    def _edges(self, channel: str) -> tuple[NDArray[np.int64], int]:
        """The channel's edges, and its level before the first."""
        finder = EdgeFinder(self.unitsize, self.bit(channel))
        edges = list(finder.feed(self.samples))
        return np.concatenate(edges) if edges else np.empty(0, np.int64), finder.initial or 0

"""``shepherd-hil decode``: what a logic analyzer's recording says, as a UART's text."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.commands.progress import ProgressBar
from pytest_shepherd_hil.errors import LogicError, MisuseError
from pytest_shepherd_hil.logic.baudrate import UartGuess
from pytest_shepherd_hil.logic.capture import Capture
from pytest_shepherd_hil.logic.line_format import MIN_SAMPLES_PER_BIT, Parity
from pytest_shepherd_hil.logic.uart import UartDecoder
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_shepherd_hil.logic.frames import UartFrames

__all__ = ["run"]

_BLOCK_SAMPLES = 1 << 22
_LINE_END = re.compile(rb"\r*\n|\r+(?!\n)")


def run(options: argparse.Namespace) -> int:
    """Decode, or list the channels; returns the exit status.

    Raises:
        LogicError: the recording cannot be read or decoded.
        MisuseError: the options do not fit together.
    """
    for name in ("baudrate", "data_bits", "parity", "stop_bits", "invert"):
        if options.uart is None and getattr(options, name) is not None:
            raise MisuseError(f"--{name.replace('_', '-')} goes with --uart CHANNEL; without it, channels are listed")
    if options.uart is None and options.raw:
        raise MisuseError("--raw goes with --uart CHANNEL; without it, channels are listed")
    capture = Capture.load(options.file, on_progress=_Loading(str(options.file)))
    if options.uart is None:
        return _list(capture, options)
    return _decode(capture, options)


class _Loading:
    """Shows how much of a recording has been unpacked."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: ProgressBar | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = ProgressBar(total)
        self._bar.show(done, self._name)
        if done >= total:
            self._bar.wipe()


@dataclass(frozen=True, slots=True)
class _Settings:
    baudrate: float
    data_bits: int
    parity: Parity
    stop_bits: float
    invert: bool


def _list(capture: Capture, options: argparse.Namespace) -> int:
    if options.format == "text":
        count, rate = len(capture.channels), _hertz(capture.samplerate)
        channels = f"{count} channel{'s' if count > 1 else ''}"
        print(f"{printable(str(options.file))}: {channels}, {len(capture)} samples at {rate}, {capture.duration_s:g} s")
        for note in capture.notes:
            print(f"note: {printable(note)}")
    width = min(max(len(printable(name)) for name in capture.channels), 32)
    found: list[tuple[str, UartGuess]] = []
    for channel in capture.channels:
        try:
            guess = capture.guess_uart(channel)
        except LogicError as error:
            if options.format == "json":
                print(json.dumps({"channel": channel, "uart": None, "reason": str(error)}), flush=True)
            else:
                print(f"  {printable(channel):<{width}}  {error}", flush=True)
            continue
        if guess.doubt is None:
            found.append((channel, guess))
        if options.format == "json":
            print(json.dumps({"channel": channel, "uart": _as_object(guess)}), flush=True)
            continue
        what = f"UART {guess.format}, measured {guess.measured:.6g} baud"
        certain = what if guess.doubt is None else f"perhaps {what}, but {guess.doubt}"
        print(f"  {printable(channel):<{width}}  {certain}: '{printable(guess.text)}'", flush=True)
    if options.format == "text" and found:
        print(f"To read one: {_command(options, *found[0])}")
    sys.stdout.flush()
    return 0


def _command(options: argparse.Namespace, channel: str, guess: UartGuess) -> str:
    words = ["shepherd-hil", "decode", str(options.file), "--uart", channel, "--baudrate", f"{guess.baudrate:.9g}"]
    words += ["--data-bits", str(guess.data_bits)] if guess.data_bits != 8 else []
    words += ["--parity", guess.parity] if guess.parity != "none" else []
    words += ["--invert"] if guess.invert else []
    return printable(shlex.join(words))


def _as_object(guess: UartGuess) -> dict[str, object]:
    return {
        "baudrate": guess.baudrate,
        "measured_baud": guess.measured,
        "data_bits": guess.data_bits,
        "parity": guess.parity,
        "invert": guess.invert,
        "characters": guess.characters,
        "clean": guess.clean,
        "text": guess.text,
        "doubt": guess.doubt,
    }


def _decode(capture: Capture, options: argparse.Namespace) -> int:
    settings = _settings(capture, options)
    decoder = UartDecoder(
        capture.samplerate,
        settings.baudrate,
        settings.data_bits,
        settings.parity,
        settings.stop_bits,
        settings.invert,
        coarse=True,
        unitsize=capture.unitsize,
        bit=capture.bit(options.uart),
    )
    if decoder.samples_per_bit < MIN_SAMPLES_PER_BIT:
        _note(
            f"only {decoder.samples_per_bit:.2g} samples a bit; with fewer than {MIN_SAMPLES_PER_BIT:g}, "
            "clocks that differ may change characters"
        )
    for note in capture.notes:
        _note(note)
    faults = _Faults(capture.samplerate)
    text = _Text()
    for frames in _frames(capture, decoder, str(options.file)):
        faults.add(frames)
        if options.raw:
            sys.stdout.buffer.write(frames.data)
        elif options.format == "json":
            sys.stdout.write(_as_json(frames, capture.samplerate))
        else:
            sys.stdout.write(text.feed(frames.data))
    sys.stdout.write(text.rest())
    sys.stdout.flush()
    for line in faults.lines():
        _note(line)
    return 0


def _hertz(rate: int) -> str:
    unit, factor = next(
        (unit, factor) for unit, factor in (("GHz", 10**9), ("MHz", 10**6), ("kHz", 1000), ("Hz", 1)) if rate >= factor
    )
    return f"{rate / factor:.9g} {unit}"


def _note(text: str) -> None:
    sys.stdout.flush()
    print(f"note: {printable(text)}", file=sys.stderr)


def _settings(capture: Capture, options: argparse.Namespace) -> _Settings:
    """Those that were given, and for the others what was measured, or the usual ones."""
    guess = UartGuess(0, 0, 8, "none", False, 0, 0, 0, "")
    capture.bit(options.uart)
    if options.baudrate is None:
        try:
            guess = capture.guess_uart(options.uart)
        except LogicError as error:
            raise LogicError(
                f"{printable(str(options.file))}: channel {printable(options.uart)} {error}; "
                "give --baudrate if it is a UART all the same"
            ) from error
        _note(
            f"measured {guess.measured:.6g} baud on channel {options.uart}, taken as {guess.format}"
            + (f"; but {guess.doubt}" if guess.doubt else "")
        )
    return _Settings(
        options.baudrate or guess.baudrate,
        guess.data_bits if options.data_bits is None else options.data_bits,
        guess.parity if options.parity is None else options.parity,
        1 if options.stop_bits is None else options.stop_bits,
        guess.invert if options.invert is None else options.invert,
    )


def _frames(capture: Capture, decoder: UartDecoder, name: str) -> Iterator[UartFrames]:
    bar = ProgressBar(len(capture.samples))
    samples = memoryview(capture.samples)
    step = _BLOCK_SAMPLES * capture.unitsize
    for at in range(0, len(samples), step):
        frames = decoder.feed(samples[at : at + step])
        bar.wipe()
        yield frames
        bar.show(min(at + step, len(samples)), name)
    bar.wipe()
    yield decoder.finish()


def _as_json(frames: UartFrames, samplerate: int) -> str:
    """A line for each character, and for each glitch between them."""
    rows: list[tuple[int, str]] = []
    for frame in frames:
        value = {"time_s": frame.start_sample / samplerate, "start_sample": frame.start_sample}
        rows.append(
            (
                frame.start_sample,
                json.dumps({**value, "value": frame.value, "text": _character(frame.value), "error": frame.error}),
            )
        )
    for start in frames.glitches.tolist():
        glitch = {"time_s": start / samplerate, "start_sample": start, "value": None, "text": None, "error": "glitch"}
        rows.append((start, json.dumps(glitch)))
    rows.sort(key=lambda row: row[0])
    return "".join(f"{row}\n" for _, row in rows)


def _character(value: int) -> str | None:
    return chr(value) if value < 0x80 else None


class _Text:
    """Bytes as they come, made into lines that a terminal shows and does not obey."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, data: bytes) -> str:
        """The lines that are complete."""
        text = self._left + data
        held = len(text) - len(text.rstrip(b"\r"))  # the LF may be still to come
        *lines, rest = _LINE_END.split(text[: len(text) - held])
        self._left = rest + text[len(text) - held :]
        return "".join(f"{self._shown(line)}\n" for line in lines)

    def rest(self) -> str:
        """The last line, where nothing ended it."""
        rest, self._left = self._left.rstrip(b"\r"), b""
        return f"{self._shown(rest)}\n" if rest else ""

    def _shown(self, line: bytes) -> str:
        return printable(line.decode("utf-8", errors="backslashreplace"), sys.maxsize)


class _Faults:
    """What was wrong on the line, for a summary."""

    def __init__(self, samplerate: int) -> None:
        self._samplerate = samplerate
        self._found: dict[str, list[int]] = {}
        self._characters = 0

    def add(self, frames: UartFrames) -> None:
        self._characters += int(np.count_nonzero(frames.codes != 2))
        for frame in frames.errors:
            self._count(str(frame.error), frame.start_sample)
        for start in frames.glitches.tolist():
            self._count("glitch", start)

    def _count(self, what: str, start: int) -> None:
        first = self._found.setdefault(what, [start, 0])
        first[1] += 1

    def lines(self) -> list[str]:
        names = {"framing": "framing error", "parity": "parity error", "break": "break", "glitch": "glitch"}
        lines = []
        for what, (first, count) in self._found.items():
            plural = {"glitch": "glitches"}.get(what, f"{names[what]}s")
            name = names[what] if count == 1 else plural
            where = (
                f"the first at {first / self._samplerate:.6f} s"
                if count > 1
                else f"at {first / self._samplerate:.6f} s"
            )
            lines.append(f"{count} {name}, {where} (sample {first})")
        if not self._characters:
            lines.append("no character on this channel")
        return lines

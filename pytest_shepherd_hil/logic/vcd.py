"""Captures as Value Change Dump (IEEE 1364), which GTKWave, PulseView and sigrok-cli read."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.logic.edges import EdgeFinder
from pytest_shepherd_hil.logic.samples import unitsize_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["write_vcd"]

_UNITS = ("s", "ms", "us", "ns", "ps", "fs")
_LINES = 10_000


def write_vcd(
    path: str | Path,
    samplerate: int,
    channels: Sequence[str],
    samples: bytes,
    *,
    names: Mapping[str, str] | None = None,
) -> None:
    """Write a file beside ``path`` and rename it to there.

    Args:
        path: the file; its folder must exist.
        samplerate: samples a second, in Hz. The file's unit of time is such that a sample is a whole number of it;
            where there is none, times are rounded to femtoseconds.
        channels: names, in bit order.
        samples: ``ceil(channels / 8)`` bytes for each sample.
        names: what the board calls its channels: signals are named so.

    Raises:
        HostError: it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(_lines(samplerate, channels, samples, names or {}))
        part.replace(path)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _lines(samplerate: int, channels: Sequence[str], samples: bytes, names: Mapping[str, str]) -> Iterator[str]:
    unitsize = unitsize_of(len(channels))
    timescale, ticks = _timescale(samplerate)
    yield f"$version pytest-shepherd-hil $end\n$comment {samplerate} samples a second $end\n"
    yield f"$timescale {timescale} $end\n$scope module logic $end\n"
    identifiers = [_identifier(number) for number in range(len(channels))]
    for identifier, name in zip(identifiers, _signals(channels, names), strict=True):
        yield f"$var wire 1 {identifier} {name} $end\n"
    yield "$upscope $end\n$enddefinitions $end\n"
    finders = [EdgeFinder(unitsize, bit) for bit in range(len(channels))]
    found = [np.concatenate([np.empty(0, np.int64), *finder.feed(samples)]) for finder in finders]
    initial = [finder.initial or 0 for finder in finders]
    yield "#0\n$dumpvars\n" + "".join(f"{level}{name}\n" for level, name in zip(initial, identifiers, strict=True))
    yield "$end\n"
    edges = np.concatenate(found)
    owners = np.concatenate([np.full(len(each), number) for number, each in enumerate(found)])
    levels = np.concatenate(
        [(np.arange(len(each)) + level + 1) % 2 for each, level in zip(found, initial, strict=True)]
    )
    order = np.argsort(edges, kind="stable")
    last, lines = -1, []
    for index in order.tolist():
        sample = int(edges[index])
        if sample != last:
            lines.append(f"#{_time(sample, samplerate, ticks)}\n")
            last = sample
        lines.append(f"{levels[index]}{identifiers[owners[index]]}\n")
        if len(lines) > _LINES:
            yield "".join(lines)
            lines = []
    yield "".join(lines)
    yield f"#{_time(len(samples) // unitsize, samplerate, ticks)}\n"


def _timescale(samplerate: int) -> tuple[str, int]:
    """The file's unit of time, and how many of it a second has."""
    for exponent in range(16):
        if 10**exponent % samplerate == 0:
            unit = -(-exponent // 3)
            return f"{10 ** (3 * unit - exponent)} {_UNITS[unit]}", 10**exponent
    return "1 fs", 10**15


def _time(sample: int, samplerate: int, ticks: int) -> int:
    return (sample * ticks + samplerate // 2) // samplerate


def _identifier(number: int) -> str:
    """A short name of printable characters."""
    text = ""
    while True:
        text += chr(33 + number % 94)
        number = number // 94 - 1
        if number < 0:
            return text


def _signals(channels: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """Names without white space, each there once."""
    signals: list[str] = []
    for channel in channels:
        name = re.sub(r"\s+", "_", "".join(c if c.isprintable() else "_" for c in names.get(channel, channel))) or "_"
        signals.append(name if name not in signals else f"{name}_{len(signals)}")
    return signals

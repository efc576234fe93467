"""What Saleae's Logic exports as ``digital.csv``: a time and every channel's level, wherever one changes.

https://support.saleae.com/user-guide/using-logic/exporting-data. There is no samplerate in it: it is the lowest usual
one at which every time is a whole number of samples. sigrok-cli does not honour the times, hence this reader.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.errors import LogicError
from pytest_shepherd_hil.logic.samples import unitsize_of
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["CsvFile", "read_csv"]

_MAX_ROWS = 50_000_000
_MAX_CHANNELS = 64
_MAX_SAMPLES = 1 << 28
_TAIL_S = 0.01
_NS = 10**9
_EVERY = 1 << 20
_RATES = sorted(
    {
        int(number * 10**power)
        for number in (1, 1.25, 1.5625, 1.6, 2, 2.5, 3.125, 3.2, 4, 5, 6.25, 8)
        for power in range(2, 9)
        if number * 10**power == int(number * 10**power)
    }
    | {12_000_000, 12_500_000, 24_000_000, 16_000_000, 32_000_000, 48_000_000, 500_000_000}
)


@dataclass(frozen=True, slots=True)
class CsvFile:
    """What is in an export."""

    path: Path
    samplerate: int
    """Samples a second, in Hz."""
    channels: tuple[str, ...]
    samples: bytes
    """``ceil(channels / 8)`` bytes for each sample; bit *i* is ``channels[i]``."""
    notes: tuple[str, ...]


def read_csv(
    path: str | Path,
    *,
    samplerate: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> CsvFile:
    """Read an export.

    Args:
        path: the file.
        samplerate: in Hz, where it is known better.
        on_progress: told how many of how many bytes have been read.

    Raises:
        LogicError: there is no such file, it is none, is damaged, or holds more than 2**28 samples at ``samplerate``.
    """
    path = Path(path)
    shown = printable(str(path))
    try:
        total = path.stat().st_size
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(_lines(file, total, on_progress))
            channels = _header(next(rows, []), shown)
            times, units = _changes(rows, len(channels), shown)
    except OSError as error:
        raise LogicError(f"cannot read {shown}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LogicError(f"{shown} is not an export of Saleae Logic: {error}") from error
    return _sampled(path, channels, times, units, samplerate)


def _lines(file: Iterator[str], total: int, on_progress: Callable[[int, int], None] | None) -> Iterator[str]:
    done = reported = 0
    for line in file:
        done += len(line)
        if on_progress is not None and done - reported > _EVERY:
            reported = done
            on_progress(min(done, total), total)
        yield line
    if on_progress is not None:
        on_progress(total, total)


def _header(header: list[str], shown: str) -> tuple[str, ...]:
    names = [name.strip() for name in header]
    if len(names) < 2 or not names[0].lower().startswith("time"):
        raise LogicError(
            f"{shown} is not an export of Saleae Logic: its first line is not 'Time [s],Channel 0,…' but "
            f"{printable(','.join(header), 80)!r}"
        )
    if len(names) - 1 > _MAX_CHANNELS:
        raise LogicError(f"{shown} claims {len(names) - 1} channels; more than {_MAX_CHANNELS} are refused")
    channels: list[str] = []
    for number, name in enumerate(names[1:]):
        name = name or f"Channel {number}"
        channels.append(name if name not in channels else f"{name}#{number}")
    return tuple(channels)


def _changes(rows: Iterator[list[str]], channels: int, shown: str) -> tuple[NDArray[np.int64], list[int]]:
    """Times in ns, and all levels from each of them on, as one number."""
    times: list[int] = []
    units: list[int] = []
    levels = {"0": 0, "1": 1}
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        try:
            if len(row) != channels + 1 or number > _MAX_ROWS:
                raise ValueError
            unit = sum(levels[level.strip()] << bit for bit, level in enumerate(row[1:]))
            time = _nanoseconds(row[0].strip())
            if times and time < times[-1]:
                raise ValueError
        except (ValueError, KeyError, InvalidOperation, OverflowError) as error:
            said = printable(",".join(row), 80)
            raise LogicError(
                f"{shown}, line {number}: {said!r} is not a time after the last line's and {channels} levels, 0 or 1"
            ) from error
        times.append(time)
        units.append(unit)
    if not times:
        raise LogicError(f"{shown} has no samples: there is nothing below its first line")
    return np.array(times, np.int64), units


def _nanoseconds(text: str) -> int:
    if "T" in text:
        head, _, fraction = text.rstrip("Z").partition(".")
        digits = fraction[:9].partition("+")[0].partition("-")[0]
        return round(datetime.fromisoformat(f"{head}+00:00").timestamp()) * _NS + int(digits.ljust(9, "0") or 0)
    time = int((Decimal(text) * _NS).to_integral_value())
    if abs(time) >= 1 << 62:
        raise ValueError
    return time


def _sampled(
    path: Path, channels: tuple[str, ...], times: NDArray[np.int64], units: list[int], samplerate: int | None
) -> CsvFile:
    fitting = [rate for rate in _RATES if _fits(times, rate)]
    times = times - times[0]
    notes = ["the file does not say how long the last levels lasted"]
    # the longest quiet there was, so that the last character has its stop bit
    tail = min(int(_TAIL_S * _NS), int(np.diff(times).max(initial=0)))
    length = int(times[-1]) + tail
    if samplerate is None:
        rate = fitting[0] if fitting else _RATES[-1]
        if length * rate // _NS >= _MAX_SAMPLES:
            rate = next(
                lower for lower in reversed(_RATES) if length * lower // _NS < _MAX_SAMPLES or lower == _RATES[0]
            )
            notes.append(f"times rounded to a samplerate of {rate} Hz, as the recording is long")
    else:
        rate = samplerate
    if length * rate // _NS >= _MAX_SAMPLES:
        raise LogicError(
            f"{printable(str(path))} lasts {length / _NS:.6g} s, more than {_MAX_SAMPLES} samples at {rate} Hz; "
            "give a lower samplerate"
        )
    at = _samples_at(times, rate)
    counts = np.diff(at, append=max(round(length * rate / _NS), int(at[-1]) + 1))
    unitsize = unitsize_of(len(channels))
    packed = np.frombuffer(b"".join(unit.to_bytes(unitsize, "little") for unit in units), np.uint8)
    samples = np.repeat(packed.reshape(-1, unitsize), counts, axis=0).tobytes()
    return CsvFile(path, rate, channels, samples, tuple(notes))


def _samples_at(times: NDArray[np.int64], rate: int) -> NDArray[np.int64]:
    seconds, rest = np.divmod(times, _NS)
    return seconds * rate + np.round(rest * (rate / _NS)).astype(np.int64)


def _fits(times: NDArray[np.int64], rate: int) -> bool:
    """Whether every time, rounded to ns as it is, is a whole number of samples."""
    rest = (times % _NS) * (rate / _NS)
    return bool(np.all(np.abs(rest - np.round(rest)) <= 0.51 * rate / _NS))

"""sigrok's ``.sr`` files (srzip): read, of any age and unit size, and written.

A zip of ``version``, ``metadata`` (an ini file) and the samples, in one file ``logic-1`` (version 1) or in many,
``logic-1-1``, ``logic-1-2``, … (version 2). https://sigrok.org/wiki/File_format:Sigrok/v2
"""

from __future__ import annotations

import lzma
import os
import re
import struct
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pytest_shepherd_hil.errors import HostError, LogicError
from pytest_shepherd_hil.logic.samples import pack, unitsize_of
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["MAX_BYTES", "Layout", "SrFile", "read", "read_layout", "write"]

MAX_BYTES = 1 << 30
"""How many bytes of samples a file may hold. A few kB of zip can claim terabytes."""

_MAX_TEXT = 1 << 20
_CHUNK_BYTES = 4 << 20
_OURS = "shepherd-hil"
_SAMPLERATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)(?:Hz)?", re.IGNORECASE)
_FACTOR = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    KeyError,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file's samples lie."""

    samplerate: int
    """Samples a second, in Hz."""
    unitsize: int
    """Bytes in a sample."""
    bits: Mapping[str, int]
    """Channel name to bit; channels that were switched off are not in it."""
    capturefile: str
    """What the files with samples are called."""


@dataclass(frozen=True, slots=True)
class SrFile:
    """What is in a file, with only the channels that were on, in bit order."""

    path: Path
    samplerate: int
    """Samples a second, in Hz."""
    channels: tuple[str, ...]
    samples: bytes
    """``ceil(channels / 8)`` bytes for each sample; bit *i* is ``channels[i]``."""
    names: Mapping[str, str]
    first_sample: int
    notes: tuple[str, ...] = ()
    """What was passed over."""


def read(
    path: str | Path, *, max_bytes: int = MAX_BYTES, on_progress: Callable[[int, int], None] | None = None
) -> SrFile:
    """Read a file. Analog channels are passed over; so is a last sample that is cut off. The notes tell it.

    Args:
        path: the file.
        max_bytes: how many bytes of samples to accept.
        on_progress: told how many of how many bytes have been unpacked.

    Raises:
        LogicError: there is no such file, it is not a ``.sr`` file, is damaged, or is larger than ``max_bytes``.
    """
    path = Path(path)
    with _Opened(path) as file:
        layout = _layout(path, file.sections)
        raw = file.samples(layout, max_bytes, on_progress)
        notes = _passed_over(file.sections.get("device 1", {}), len(raw) % layout.unitsize)
        ours = file.sections.get(_OURS, {})
        names = {key.removeprefix("name "): value for key, value in ours.items() if key.startswith("name ")}
        first = int(ours.get("first sample", "0"))
    whole = len(raw) - len(raw) % layout.unitsize
    samples = pack(raw[:whole], layout.unitsize, list(layout.bits.values()))
    return SrFile(path, layout.samplerate, tuple(layout.bits), samples, names, first, notes)


def read_layout(path: Path) -> Layout:
    """How a file's samples lie, as :func:`read` would find them before it puts them in order.

    Raises:
        LogicError: as :func:`read`.
    """
    with _Opened(path) as file:
        return _layout(path, file.sections)


class _Opened:
    """A file's parts. Whatever is wrong with the zip inside the ``with`` block becomes one :class:`LogicError`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shown = printable(str(path))
        self.sections: dict[str, dict[str, str]] = {}
        self._zip: zipfile.ZipFile | None = None

    def __enter__(self) -> Self:
        try:
            self._zip = zipfile.ZipFile(self.path)
            names = self._zip.namelist()
            for part in ("version", "metadata"):
                if part not in names:
                    raise LogicError(f"{self._shown} is not a sigrok session: it has no {part!r} in it")
            version = self._text("version").strip()
            if version not in ("1", "2"):
                raise LogicError(f"{self._shown}: session format {version[:20]!r}; formats 1 and 2 can be read")
            self.sections = _ini(self._text("metadata"))
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self._zip is not None:
            self._zip.close()
        if isinstance(error, OSError):
            raise LogicError(f"cannot read {self._shown}: {error.strerror or error}") from error
        if isinstance(error, _DAMAGE):
            raise LogicError(f"{self._shown} is not a sound .sr file: {error}") from error

    def _text(self, part: str) -> str:
        assert self._zip is not None
        if self._zip.getinfo(part).file_size > _MAX_TEXT:
            raise LogicError(f"{self._shown}: {part!r} claims more than {_MAX_TEXT} bytes; refused")
        return b"".join(self._pieces(part, _MAX_TEXT)).decode("utf-8")

    def samples(self, layout: Layout, max_bytes: int, on_progress: Callable[[int, int], None] | None) -> bytes:
        """All samples as they lie in the file."""
        assert self._zip is not None
        sizes = {info.filename: info.file_size for info in self._zip.infolist()}
        name = layout.capturefile
        parts = [name] if name in sizes else []
        if not parts:
            for number in count(1):
                if f"{name}-{number}" not in sizes:
                    break
                parts.append(f"{name}-{number}")
        numbered = sum(part.startswith(f"{name}-") and part[len(name) + 1 :].isdigit() for part in sizes)
        if not parts or (parts != [name] and numbered > len(parts)):
            raise LogicError(f"{self._shown}: {name}-{len(parts) + 1} is missing, and samples with it")
        claimed = sum(sizes[part] for part in parts)
        if claimed > max_bytes:
            raise LogicError(f"{self._shown} claims {claimed} bytes of samples; more than {max_bytes} are refused")
        pieces: list[bytes] = []
        done = 0
        for part in parts:
            for piece in self._pieces(part, sizes[part]):
                pieces.append(piece)
                done += len(piece)
                if on_progress is not None:
                    on_progress(done, claimed)
        return b"".join(pieces)

    def _pieces(self, part: str, size: int) -> Iterator[bytes]:
        """A part's content, unpacked bit by bit: what a zip claims of its size may be a lie."""
        assert self._zip is not None
        with self._zip.open(part) as file:
            while piece := file.read(_CHUNK_BYTES):
                size -= len(piece)
                if size < 0:
                    raise LogicError(f"{self._shown}: {part} is larger than it claims; refused")
                yield piece


def _passed_over(device: Mapping[str, str], cut_off: int) -> tuple[str, ...]:
    analog = [value for key, value in device.items() if key.startswith("analog") and key[6:].isdecimal()]
    notes = []
    if analog:
        notes.append(f"analog channels are passed over: {', '.join(analog)}")
    if cut_off:
        notes.append(f"the last sample is cut off; its {cut_off} bytes are passed over")
    return tuple(notes)


def _ini(text: str) -> dict[str, dict[str, str]]:
    """Sections and keys. Not configparser: old files indent ``trigger1 = 0``, which it takes for more of a name."""
    sections: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = sections.setdefault(line[1:-1], {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section[key.strip()] = value.strip().replace("\\\\", "\\")
    return sections


def _layout(path: Path, sections: Mapping[str, Mapping[str, str]]) -> Layout:
    shown = printable(str(path))
    device = sections.get("device 1")
    if device is None:
        raise LogicError(f"{shown} is not a sigrok session: no [device 1] in its metadata")
    rate = device.get("samplerate", "")
    match = _SAMPLERATE.fullmatch(rate)
    samplerate = Decimal(match[1]) * _FACTOR[match[2].lower()] if match else Decimal(0)
    if samplerate < 1 or samplerate != int(samplerate):
        raise LogicError(f"{shown}: samplerate {rate!r} in its metadata is not a number of Hz")
    unitsize = device.get("unitsize", "1")
    if not unitsize.isdecimal() or not 1 <= int(unitsize) <= 64:
        raise LogicError(f"{shown}: unitsize {unitsize[:20]!r} in its metadata is not a number of bytes")
    bits: dict[str, int] = {}
    for bit in range(int(unitsize) * 8):
        if (name := device.get(f"probe{bit + 1}")) is not None:
            bits[name if name not in bits else f"{name}#{bit + 1}"] = bit
    if not bits:
        analog = device.get("total analog", "0") != "0"
        raise LogicError(f"{shown} has no logic channels" + (", only analog ones" if analog else ""))
    return Layout(int(samplerate), int(unitsize), bits, device.get("capturefile", "logic-1"))


def write(
    path: str | Path,
    samplerate: int,
    channels: Sequence[str],
    samples: bytes,
    *,
    names: Mapping[str, str] | None = None,
    first_sample: int = 0,
) -> None:
    """Write a version 2 file beside ``path`` and rename it to there.

    Args:
        path: the file; its folder must exist.
        samplerate: samples a second, in Hz.
        channels: names, in bit order.
        samples: ``ceil(channels / 8)`` bytes for each sample.
        names: what the board calls its channels; kept in a section of our own that sigrok passes over.
        first_sample: how many samples came before these; kept likewise.

    Raises:
        HostError: it cannot be written.
    """
    path = Path(path)
    unitsize = unitsize_of(len(channels))
    unit = next(unit for unit in ("GHz", "MHz", "kHz", "Hz") if samplerate % _FACTOR[unit[:-2].lower()] == 0)
    metadata = [
        "[global]",
        "sigrok version=0.5.2",
        "",
        "[device 1]",
        "capturefile=logic-1",
        f"total probes={len(channels)}",
        f"samplerate={samplerate // _FACTOR[unit[:-2].lower()]} {unit}",
        "total analog=0",
        *(f"probe{number}={_value(name)}" for number, name in enumerate(channels, 1)),
        f"unitsize={unitsize}",
        "",
        f"[{_OURS}]",
        f"first sample={first_sample}",
        *(f"name {_value(channel)}={_value(name)}" for channel, name in (names or {}).items()),
        "",
    ]
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    size = _CHUNK_BYTES // unitsize * unitsize
    try:
        with zipfile.ZipFile(part, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=3) as file:
            file.writestr("version", "2")
            file.writestr("metadata", "\n".join(metadata))
            for number, at in enumerate(range(0, max(len(samples), 1), size), 1):
                file.writestr(f"logic-1-{number}", samples[at : at + size])
        part.replace(path)
    except OSError as error:
        raise HostError(f"cannot write capture {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _value(text: str) -> str:
    """A name on one line of the ini file, as GLib reads it back."""
    return re.sub(r"[\x00-\x1f]+", " ", text).strip().replace("\\", "\\\\")

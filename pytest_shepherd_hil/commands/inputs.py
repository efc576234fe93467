"""Logs on disk or from stdin, as streams of bytes in bounded memory: files, folders, ``-``, anything packed."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from pytest_shepherd_hil.commands.unpack import CHUNK, DamagedError, unpacker_for
from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["STDIN", "Input", "find_inputs"]

STDIN = "-"
_PACKED = {
    b"\xfd7zXZ\x00": "xz -dc",
    b"BZh91AY&SY": "bzip2 -dc",
    b"\x28\xb5\x2f\xfd": "zstd -dc",
    b"\x04\x22\x4d\x18": "lz4 -dc",
    b"\x89LZO\x00\r\n\x1a\n": "lzop -dc",
    b"PK\x03\x04": "unzip -p",
    b"7z\xbc\xaf\x27\x1c": "7z x -so",
}
"""How files begin in which no line can be seen, and what unpacks them."""
_DUMP = "makedumpfile --dump-dmesg {file} dmesg.txt, then: shepherd-hil scan dmesg.txt"
_BINARY = {
    b"LPKSHHRH": (
        "a journal of systemd",
        "journalctl -k -o short-monotonic --file {file} | shepherd-hil scan -",
    ),
    b"KDUMP   ": ("a dump of kdump", _DUMP),
    b"makedumpfile": ("a dump of kdump", _DUMP),
    b"\x7fELF": ("an ELF file (a dump of memory, a module or a program)", f"for the dump of a kernel: {_DUMP}"),
    b"SQLite format 3\x00": ("a database", "the log as text"),
    b"\x89PNG\r\n\x1a\n": ("a picture", "the log as text"),
    b"%PDF-": ("a PDF document", "the log as text"),
}
"""How files begin that are no text, what they are, and what to do instead."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NO_LOGS = frozenset({".c", ".h", ".html", ".jpg", ".json", ".jsonl", ".ko", ".md", ".o", ".part", ".png", ".py"})
_NO_LOGS |= {".pyc", ".so", ".sqlite", ".sr", ".tar", ".tgz", ".toml", ".xml", ".yaml", ".yml", ".zip"}
"""What in a folder is no log; a file that is named itself is read whatever it is called."""


@dataclass(frozen=True, slots=True)
class Input:
    """Something to read.

    Attributes:
        name: as the user gave it, or as it was found in the user's folder.
        size: in bytes on disk; 0 where it is not known.
    """

    name: str
    size: int

    @property
    def title(self) -> str:
        """What it is called in what comes out; bytes of its name that are no UTF-8 as ``\\xNN``, which JSON can say."""
        return "(stdin)" if self.name == STDIN else os.fsencode(self.name).decode("utf-8", "backslashreplace")

    def chunks(self, on_progress: Callable[[int], None]) -> Iterator[bytes]:
        """Its bytes, unpacked where they are packed.

        Args:
            on_progress: told how many bytes on disk have been read so far.

        Raises:
            HostError: it cannot be read, or not to its end.
        """
        sort = ""
        try:
            with self._open() as raw:
                first = raw.read(CHUNK)
                read = len(first)
                on_progress(read)
                unpack = unpacker_for(first)
                if unpack is None:
                    self._check_is_text(first)
                sort = unpack.sort if unpack is not None else ""
                while first:
                    if unpack is None:
                        yield first
                    else:
                        yield from unpack.feed(first)
                    first = raw.read(CHUNK)
                    read += len(first)
                    on_progress(read)
                if unpack is not None:
                    unpack.finish()
        except OSError as error:
            raise HostError(f"cannot read {printable(self.title)}: {error.strerror or error}") from error
        except DamagedError as error:
            raise HostError(f"cannot read all of {printable(self.title)}: it is damaged {sort} ({error})") from error

    def _check_is_text(self, first: bytes) -> None:
        """A log in which no rule could find anything must not pass for a clean one."""
        here = "" if self.name == STDIN else f" {shlex.quote(self.name)}"
        for magic, unpack in _PACKED.items():
            if first.startswith(magic):
                how = printable(f"{unpack}{here} | shepherd-hil scan -")
                raise HostError(f"cannot read {printable(self.title)}: it is compressed; use: {how}")
        for magic, (what, instead) in _BINARY.items():
            if first.startswith(magic):
                how = printable(instead.format(file=here.lstrip() or "FILE"))
                raise HostError(f"cannot read {printable(self.title)}: it is {what}, no text; use {how}")
        if first.startswith(_UTF_16) and first[:1024].count(0) > len(first[:1024]) // 3:
            how = printable(f"iconv -f UTF-16 -t UTF-8{here} | shepherd-hil scan -")
            raise HostError(f"cannot read {printable(self.title)}: it is UTF-16 text; use: {how}")

    def _open(self) -> BinaryIO:
        if self.name == STDIN:
            if sys.stdin is None:
                raise HostError("cannot read (stdin): it is closed")
            return cast("BinaryIO", os.fdopen(os.dup(sys.stdin.fileno()), "rb"))
        return Path(self.name).open("rb")


def find_inputs(names: Sequence[str], on_error: Callable[[HostError], None]) -> list[Input]:
    """What there is to read behind these names, in the order of a person: folders with all that is below them, sorted.

    Args:
        names: files, folders, ``-`` for stdin.
        on_error: told of each name that is nothing to be read.
    """
    found: list[Input] = []
    for name in names:
        if name == STDIN:
            found.append(Input(STDIN, 0))
            continue
        if not name:
            on_error(HostError("cannot read '': an empty name (is a variable of your shell not set?)"))
            continue
        path = Path(name)
        try:
            if path.is_dir():
                inside = list(_in_folder(path, on_error))
                if not inside:
                    on_error(HostError(f"there is no log in folder {printable(name)}"))
                found += inside
            else:
                found.append(Input(name, path.stat().st_size))
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            on_error(HostError(f"cannot read {printable(name)}: {reason}"))
    return found


def _in_folder(folder: Path, on_error: Callable[[HostError], None]) -> Iterator[Input]:
    def unreadable(error: OSError) -> None:
        on_error(HostError(f"cannot read folder {printable(str(error.filename))}: {error.strerror}"))

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if (
                name.startswith(".")
                or not _NO_LOGS.isdisjoint(s.lower() for s in path.suffixes[-2:])
                or not path.is_file()
            ):
                continue
            yield Input(str(path), path.stat().st_size)

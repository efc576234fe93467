"""Packed logs, unpacked as they come: gzip, bzip2 and xz, several streams in a row, in bounded memory."""

from __future__ import annotations

import importlib
import re
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["DamagedError", "Unpacker", "unpacker_for"]

CHUNK = 1 << 18
_MAX_DICTIONARY = 256 << 20
"""Bytes that xz may need; ``xz -9`` needs 65 MiB."""
_BZIP2 = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")


class DamagedError(Exception):
    """What is packed is no whole stream."""


class Unpacker:
    """Unpacks one sort of stream, also several of it in a row, a chunk at a time."""

    def __init__(self, sort: str, new: Callable[[], Any], damages: tuple[type[Exception], ...]) -> None:
        self.sort = sort
        """As people call it: ``gzip``."""
        self._new = new
        self._stream = new()
        self._damages = damages

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes of some more bytes, in pieces of 256 KiB at most.

        Raises:
            DamagedError: they are of no such stream.
        """
        while True:
            if self._stream.eof:
                data = data.lstrip(b"\0")  # padding, as on tapes
                if not data:
                    return
                self._stream = self._new()
            try:
                plain = self._stream.decompress(data, CHUNK)
            except self._damages as error:
                raise DamagedError(str(error)) from error
            if plain:
                yield plain
            if self._stream.eof:
                data = self._stream.unused_data
            elif hasattr(self._stream, "unconsumed_tail"):
                data = self._stream.unconsumed_tail
                if not data and len(plain) < CHUNK:
                    return
            elif self._stream.needs_input:
                return
            else:
                data = b""

    def finish(self) -> None:
        """It was all of it.

        Raises:
            DamagedError: its end is missing.
        """
        if not self._stream.eof:
            raise DamagedError("its end is missing")


def unpacker_for(first: bytes) -> Unpacker | None:
    """What unpacks a file that begins so; None where it is not packed, or only other programs can unpack it."""
    if first.startswith(b"\x1f\x8b"):
        return Unpacker("gzip", lambda: zlib.decompressobj(wbits=31), (zlib.error,))
    try:
        if _BZIP2.match(first):
            bz2: Any = importlib.import_module("bz2")
            return Unpacker("bzip2", bz2.BZ2Decompressor, (OSError, ValueError))
        if first.startswith(b"\xfd7zXZ\x00"):
            lzma: Any = importlib.import_module("lzma")
            return Unpacker("xz", lambda: lzma.LZMADecompressor(memlimit=_MAX_DICTIONARY), (lzma.LZMAError,))
    except ImportError:  # Python had been built without it
        return None
    return None

"""How samples lie in bytes: one unit for each sample.

A unit has ``ceil(channels / 8)`` bytes, little-endian; its bit *i* is the *i*-th channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["bit_column", "pack", "unitsize_of"]

_BIT = [bytes(value >> bit & 1 for value in range(256)) for bit in range(8)]


def unitsize_of(channels: int) -> int:
    """Bytes in a sample of so many channels."""
    return max(1, (channels + 7) // 8)


def bit_column(samples: bytes, unitsize: int, bit: int) -> bytes:
    """One channel's levels: one byte, 0 or 1, for each sample.

    Args:
        samples: whole units.
        unitsize: bytes in a unit.
        bit: which bit of the unit.
    """
    column = samples if unitsize == 1 else samples[bit // 8 :: unitsize]
    return column.translate(_BIT[bit % 8])


def pack(samples: bytes, unitsize: int, bits: Sequence[int]) -> bytes:
    """The same samples with ``bits[i]`` moved to bit *i*, and units only as large as that needs.

    Args:
        samples: whole units as a driver or a file has them.
        unitsize: bytes in such a unit.
        bits: which bits to keep, in their new order.
    """
    packed_size = unitsize_of(len(bits))
    if packed_size == unitsize and list(bits) == list(range(len(bits))):
        return samples
    columns = [_pack_byte(samples, unitsize, bits[at : at + 8]) for at in range(0, len(bits), 8)]
    if packed_size == 1:
        return columns[0]
    packed = bytearray(len(columns[0]) * packed_size)
    for index, column in enumerate(columns):
        packed[index::packed_size] = column
    return bytes(packed)


def _pack_byte(samples: bytes, unitsize: int, bits: Sequence[int]) -> bytes:
    """Up to eight bits into one byte a sample; the parts that come from different bytes are joined as big numbers."""
    length = len(samples) // unitsize
    joined = 0
    sources = sorted({bit // 8 for bit in bits})
    for source in sources:
        moves = [(bit % 8, to) for to, bit in enumerate(bits) if bit // 8 == source]
        table = bytes(sum((value >> bit & 1) << to for bit, to in moves) for value in range(256))
        column = samples[source::unitsize].translate(table)
        if len(sources) == 1:
            return column
        joined |= int.from_bytes(column, "little")
    return joined.to_bytes(length, "little")

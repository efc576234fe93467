"""What an analyzer sees of a UART's line: written from the transmitter's side, knowing nothing of the decoder."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def uart_line(
    values: Iterable[int],
    samples_per_bit: float,
    *,
    phase: float = 0.0,
    data_bits: int = 8,
    parity: str = "none",
    stop_bits: float = 1,
    idle_bits: float = 12,
    gap_bits: float = 0,
    tail_bits: float = 2,
    jitter: Callable[[], float] = lambda: 0.0,
    drift: Callable[[int], float] = lambda _: 0.0,
) -> bytes:
    """Levels, one byte for each sample, of the values sent one after the other.

    Args:
        values: what is sent.
        samples_per_bit: of the transmitter's clock; need not be whole.
        phase: 0 to 1, where between two samples the first edge lies.
        idle_bits: high before the first start bit.
        gap_bits: high between characters, besides the stop bits.
        tail_bits: high after the last.
        jitter: asked for each edge, how much later it is seen, in bits; it does not add up.
        drift: asked for each value's number, how much slower its bits are: 0.01 is one per cent.
    """
    levels: list[tuple[int, float]] = [(1, idle_bits)]
    for number, value in enumerate(values):
        data = [value >> bit & 1 for bit in range(data_bits)]
        sent: list[tuple[int, float]] = [(0, 1), *((bit, 1) for bit in data)]
        if parity != "none":
            sent.append(({"even": sum(data) % 2, "odd": 1 - sum(data) % 2, "mark": 1, "space": 0}[parity], 1))
        sent.append((1, stop_bits + gap_bits))
        levels += [(level, bits * (1 + drift(number))) for level, bits in sent]
    levels.append((1, tail_bits))
    line = bytearray()
    end = phase
    for level, bits in levels:
        end += bits * samples_per_bit
        line += bytes([level]) * (ceil(end + jitter() * samples_per_bit) - len(line))
    return bytes(line)

"""Where a channel's level changes, found in packed samples as they come in.

Everything that a channel says is in its edges; there are a hundred times fewer of them than samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["BLOCK_SAMPLES", "EdgeFinder"]

BLOCK_SAMPLES = 1 << 18
"""How many samples are looked at at once: what a step writes is still in the processor's cache for the next."""


class EdgeFinder:
    """Finds one channel's edges, chunk by chunk; how the samples are cut into chunks changes nothing.

    Args:
        unitsize: bytes in a sample.
        bit: which bit of a sample the channel is.

    Attributes:
        initial: level of the first sample, 0 or 1; ``None`` before there was one.
        total: how many samples there have been.
    """

    def __init__(self, unitsize: int = 1, bit: int = 0) -> None:
        self.initial: int | None = None
        self.total = 0
        self._unitsize = unitsize
        self._byte = bit // 8
        self._mask = np.uint8(1 << bit % 8)
        # one more than a block: the last sample of the block before
        self._levels: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._differs: NDArray[np.bool_] = np.empty(0, np.bool_)
        self._last = np.uint8(0)

    def feed(self, samples: bytes | memoryview) -> Iterator[NDArray[np.int64]]:
        """The edges in further samples, a block at a time: :attr:`total` grows as the blocks are taken.

        Args:
            samples: whole units.

        Yields:
            Sample numbers, rising, counted from the first sample ever fed: each differs from the one before it.
        """
        column = np.frombuffer(samples, np.uint8)[self._byte :: self._unitsize]
        for at in range(0, len(column), BLOCK_SAMPLES):
            yield self._block(column[at : at + BLOCK_SAMPLES])

    def _block(self, column: NDArray[np.uint8]) -> NDArray[np.int64]:
        length = len(column)
        if len(self._differs) < length:
            self._levels = np.empty(length + 1, np.uint8)
            self._differs = np.empty(length, np.bool_)
        levels, differs = self._levels[: length + 1], self._differs[:length]
        np.bitwise_and(column, self._mask, out=levels[1:])
        if self.initial is None:
            self.initial = int(levels[1] != 0)
            self._last = levels[1]
        levels[0] = self._last
        np.not_equal(levels[1:], levels[:-1], out=differs)
        self._last = levels[-1]
        found = np.flatnonzero(differs)
        found += self.total
        self.total += length
        return found

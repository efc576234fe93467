"""The latest samples of a running acquisition, in bounded memory."""

from __future__ import annotations

from collections import deque

__all__ = ["SampleRing"]


class SampleRing:
    """Samples come in at one end; beyond ``max_bytes`` the oldest blocks leave at the other. Its owner locks it.

    Args:
        unitsize: bytes in a sample.
        max_bytes: how much to hold at most.

    Attributes:
        first: number of the oldest sample still held, counted from the first that ever came in.
    """

    BLOCK_BYTES = 64 * 1024

    def __init__(self, unitsize: int, max_bytes: int) -> None:
        self.unitsize = unitsize
        self.first = 0
        self._max_bytes = max(max_bytes, unitsize)
        per_block = max(1, min(self.BLOCK_BYTES, self._max_bytes // 8) // unitsize)
        self._block_bytes = per_block * unitsize
        self._blocks: deque[bytes] = deque()
        self._held = 0
        self._tail = bytearray()

    @property
    def total(self) -> int:
        """How many whole samples ever came in."""
        return self.first + (self._held + len(self._tail)) // self.unitsize

    def append(self, data: bytes) -> None:
        """Add samples; a unit may come in two parts."""
        self._tail += data
        # small reads are gathered, so that a million one-byte blocks do not take a hundred times their size
        whole = len(self._tail) // self._block_bytes * self._block_bytes
        if whole:
            with memoryview(self._tail) as tail:
                for at in range(0, whole, self._block_bytes):
                    self._blocks.append(bytes(tail[at : at + self._block_bytes]))
            self._held += whole
            del self._tail[:whole]
        while self._blocks and self._held + len(self._tail) > self._max_bytes:
            block = self._blocks.popleft()
            self._held -= len(block)
            self.first += len(block) // self.unitsize

    def since(self, sample: int) -> tuple[int, list[bytes]]:
        """What is held from sample number ``sample`` on.

        Returns:
            The number of the first sample in it (later than asked for where that has left), and blocks to be joined.
        """
        start = max(sample, self.first)
        wanted = (self.total - start) * self.unitsize
        whole = len(self._tail) // self.unitsize * self.unitsize
        found = []
        if wanted > 0 and whole:
            with memoryview(self._tail) as tail:
                found.append(bytes(tail[max(whole - wanted, 0) : whole]))
        wanted -= whole
        for block in reversed(self._blocks):  # from the newest: who follows needs but the last of thousands
            if wanted <= 0:
                break
            found.append(block if wanted >= len(block) else block[-wanted:])
            wanted -= len(block)
        found.reverse()
        return start, found

"""A capture as sigrok's decoders ask for it: the next sample at which one of some conditions holds.

pysigrok's own reader looks at every sample in turn; this one goes from change to change.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np

from pytest_shepherd_hil.logic.edges import EdgeFinder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    Condition: TypeAlias = Mapping[int | str, str | int]

__all__ = ["CaptureInput"]


class CaptureInput:
    """Some channels of a capture; channel *i* of a condition is ``bits[i]``.

    Args:
        samples: whole units.
        unitsize: bytes in a unit.
        bits: which bits of a unit the decoder sees.

    Attributes:
        samplenum: the sample that the decoder is at; -1 before the first.
        matched: which of the last conditions held there.
    """

    def __init__(self, samples: bytes, unitsize: int, bits: Sequence[int]) -> None:
        finders = [EdgeFinder(unitsize, bit) for bit in bits]
        edges = [np.concatenate([np.empty(0, np.int64), *finder.feed(samples)]) for finder in finders]
        every, where = np.unique(np.concatenate([np.zeros(1, np.int64), *edges]), return_inverse=True)
        turned = np.zeros(len(every), np.uint64)
        at = 1
        for channel, found in enumerate(edges):
            turned[where[at : at + len(found)]] |= np.uint64(1 << channel)
            at += len(found)
        turned[0] = sum((finder.initial or 0) << channel for channel, finder in enumerate(finders))
        self._changes: list[int] = every.tolist()
        self._levels: list[int] = np.bitwise_xor.accumulate(turned).tolist()
        self._total = len(samples) // unitsize
        self._channels = len(bits)
        self._at = 0
        self._masks: dict[tuple[tuple[int | str, str | int], ...], dict[str, int]] = {}
        self.samplenum = -1
        self.matched: list[bool] = [False]

    def wait(self, conds: Sequence[Condition] | None = None) -> tuple[int, ...]:
        """Go to the next sample at which one of the conditions holds; without any, to the next sample.

        Returns:
            The channels' levels there.

        Raises:
            EOFError: there is none.
        """
        conditions = list(conds or [{}])
        start = self.samplenum + 1
        if self._at + 1 < len(self._changes) and self._changes[self._at + 1] <= start:
            self._at += 1
        best = self._total
        for condition in conditions:
            best = min(best, self._next(condition, start, best))
        if best >= self._total:
            self.samplenum = self._total
            self.matched = [False] * len(conditions)
            raise EOFError
        skipped = best - self.samplenum
        self.samplenum = best
        self._at = bisect_right(self._changes, best, self._at) - 1
        now = self._levels[self._at]
        before = self._levels[self._at - 1] if self._at and self._changes[self._at] == best else now
        self.matched = [
            skipped == max(1, int(condition["skip"]))
            if "skip" in condition
            else _holds(self._mask(condition), before, now)
            for condition in conditions
        ]
        return tuple(now >> channel & 1 for channel in range(self._channels))

    def _mask(self, condition: Condition) -> dict[str, int]:
        """For each kind of demand, the channels of which it is made."""
        key = tuple(condition.items())
        masks = self._masks.get(key)
        if masks is None:
            masks = dict.fromkeys("hlrfes", 0)
            for channel, state in key:
                masks[str(state)] |= 1 << int(channel)
            self._masks[key] = masks
        return masks

    def _next(self, condition: Condition, start: int, limit: int) -> int:
        """The first sample from ``start`` on at which it holds; ``limit`` where there is none before that."""
        if "skip" in condition:
            return start - 1 + max(1, int(condition["skip"]))
        masks = self._mask(condition)
        changes, levels = self._changes, self._levels
        needs_edge = masks["r"] | masks["f"] | masks["e"]
        for at in range(self._at, len(changes)):
            first = max(start, changes[at])
            if first >= limit:
                break
            now = levels[at]
            if first == changes[at] and at and _holds(masks, levels[at - 1], now):
                return first
            if needs_edge or not _holds(masks, now, now):
                continue
            steady = first + 1 if first == changes[at] and at else first
            if steady < (changes[at + 1] if at + 1 < len(changes) else self._total):
                return steady
        return limit


def _holds(masks: dict[str, int], before: int, now: int) -> bool:
    changed = before ^ now
    return not (
        masks["h"] & ~now
        or masks["l"] & now
        or masks["r"] & ~(now & ~before)
        or masks["f"] & ~(before & ~now)
        or masks["e"] & ~changed
        or masks["s"] & changed
    )

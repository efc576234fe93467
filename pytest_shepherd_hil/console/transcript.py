"""What a console has said, as text: bounded, and searched piece by piece, so that no search copies all of it."""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.texts import texts_of

if TYPE_CHECKING:
    import re

__all__ = ["Transcript"]


class Transcript:
    """The newest text of a console. A position is a number of characters from the beginning of the console's log.

    Args:
        keep: how many characters are kept at least, where there are so many.
    """

    OVERLAP = 4096
    """A pattern that spans two windows is found if it is no longer than this many characters."""
    WINDOW = 1 << 18
    """Characters that are searched at once."""
    PIECE = 1 << 16

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._size = max(min(self.PIECE, keep // 16), 1)
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._starts: list[int] = []
        self._tail: list[str] = []
        self._tail_start = 0
        self._end = 0

    @property
    def end(self) -> int:
        """Number of characters so far."""
        return self._end

    def append(self, text: str) -> None:
        with self._lock:
            self._tail.append(text)
            self._end += len(text)
            if self._end - self._tail_start >= self._size:
                self._pieces.append("".join(self._tail))
                self._starts.append(self._tail_start)
                self._tail, self._tail_start = [], self._end
                drop = bisect_right(self._starts, self._end - self._keep) - 1
                if drop > 0:
                    del self._pieces[:drop], self._starts[:drop]

    def since(self, position: int) -> str:
        """Everything from ``position`` on, as far as it is still kept."""
        with self._lock:
            return self._between(max(position, self._start), self._end)

    def search(self, pattern: re.Pattern[str], cursor: int, scanned: int) -> tuple[re.Match[str] | None, int, int]:
        """See :meth:`~pytest_shepherd_hil.console.log.ConsoleLog.search`."""
        texts = texts_of(pattern)
        position = max(cursor, scanned - self.OVERLAP)
        size = self.WINDOW
        while True:
            with self._lock:
                end = self._end
                position = max(position, self._start)
                stop = min(position + size, end)
                begin = max(position - self.OVERLAP, self._start)  # for what a pattern sees behind itself
                text = self._between(begin, stop)
            match = pattern.search(text, position - begin) if _may_match(texts, text, position - begin) else None
            # near the window's end it might become another match with what follows
            if match is not None and (stop == end or match.end() <= len(text) - self.OVERLAP):
                found = begin + match.end()
                return match, found, found
            if stop == end:
                return None, cursor, end
            if match is not None:
                size *= 2
            else:
                position, size = max(stop - self.OVERLAP, position + 1), self.WINDOW

    @property
    def _start(self) -> int:
        return self._starts[0] if self._starts else self._tail_start

    def _between(self, start: int, stop: int) -> str:
        """The text between two positions that are both kept."""
        first = bisect_right(self._starts, start) - 1
        if start >= self._tail_start:
            return "".join(self._tail)[start - self._tail_start : stop - self._tail_start]
        last = bisect_right(self._starts, stop - 1) - 1 if stop > start else first
        if last == first and stop <= self._tail_start:
            origin = self._starts[first]
            return self._pieces[first][start - origin : stop - origin]
        parts = self._pieces[first : last + 1]
        if stop > self._tail_start:
            parts += self._tail
        origin = self._starts[first]
        return "".join(parts)[start - origin : stop - origin]


def _may_match(texts: tuple[str, ...], text: str, begin: int) -> bool:
    """Whether one of the texts is there, or none is known."""
    for one in texts:
        if text.find(one, begin) >= 0:
            return True
    return not texts

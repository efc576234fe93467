"""What a logic probe sees of the board beside its UART: whether it has power, and the sync line."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TypeVar

__all__ = ["Signals"]

SYNC_HZ = 10.0
_HISTORY = 64
T = TypeVar("T")


class Signals:
    """The recent past of the slow lines, by monotonic time in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._power: deque[tuple[float, bool]] = deque([(0.0, False)], maxlen=_HISTORY)
        self._sync: deque[tuple[float, float | bool]] = deque([(0.0, False)], maxlen=_HISTORY)

    def power(self, on: bool) -> None:
        """The supply goes on or off, now."""
        with self._lock:
            self._power.append((time.monotonic(), on))

    def sync_run(self) -> None:
        """The PRUs begin to toggle the sync line, now."""
        now = time.monotonic()
        with self._lock:
            self._sync.append((now, now))

    def sync_set(self, level: bool) -> None:
        """The sync line has this level from now on."""
        with self._lock:
            self._sync.append((time.monotonic(), level))

    def sync_stick(self) -> None:
        """The sync line keeps the level it has now."""
        now = time.monotonic()
        with self._lock:
            self._sync.append((now, _level(self._sync[-1][1], now)))

    def power_spans(self, start_s: float, end_s: float) -> list[tuple[float, bool]]:
        """Pieces ``(until_s, on)`` that cover ``start_s`` to ``end_s``."""
        with self._lock:
            past = list(self._power)
        return [(until, on) for _, until, on in _pieces(past, start_s, end_s)]

    def sync_spans(self, start_s: float, end_s: float) -> list[tuple[float, bool]]:
        """Pieces ``(until_s, level)`` that cover ``start_s`` to ``end_s``."""
        with self._lock:
            past = list(self._sync)
        spans: list[tuple[float, bool]] = []
        for begin, until, state in _pieces(past, start_s, end_s):
            if isinstance(state, bool):
                spans.append((until, state))
                continue
            half = int((begin - state) * 2 * SYNC_HZ)
            edge = begin
            while edge < until:
                half += 1
                edge = min(until, state + half / (2 * SYNC_HZ))
                spans.append((edge, half % 2 == 1))
        return spans


def _level(state: float | bool, now: float) -> bool:
    return state if isinstance(state, bool) else int((now - state) * 2 * SYNC_HZ) % 2 == 0


def _pieces(past: list[tuple[float, T]], start_s: float, end_s: float) -> list[tuple[float, float, T]]:
    found = []
    for index, (since, state) in enumerate(past):
        begin = max(since if index else start_s, start_s)
        until = min(past[index + 1][0] if index + 1 < len(past) else end_s, end_s)
        if begin < until:
            found.append((begin, until, state))
    return found

"""The host's time of an acquisition's samples, as far as their arrival tells it."""

from __future__ import annotations

__all__ = ["HOST_TIME_S", "SampleClock"]

HOST_TIME_S = 0.1
"""How well the arrival of a streamed block tells the host's time of its samples, in seconds; measured."""


class SampleClock:
    """Told of every block that comes in, it knows when each sample was taken.

    A block can only be late. So the one that was least late, of the last five to ten seconds, tells the time; and as
    that moves on, the clocks of host and analyzer may drift apart.

    Args:
        samplerate: samples a second, in Hz.
    """

    WINDOW_NS = 5_000_000_000

    def __init__(self, samplerate: int) -> None:
        self._samplerate = samplerate
        self._before: int | None = None
        self._now: int | None = None
        self._until = 0

    def note(self, total: int, now_ns: int) -> None:
        """So many samples have come in by ``now_ns``, in ``time.monotonic_ns()``."""
        first = now_ns - total * 1_000_000_000 // self._samplerate
        if now_ns >= self._until:
            self._before, self._now, self._until = self._now, None, now_ns + self.WINDOW_NS
        self._now = first if self._now is None else min(self._now, first)

    def host_ns(self, sample: int) -> int | None:
        """When a sample was taken, in ``time.monotonic_ns()``; None before anything has come in."""
        known = [first for first in (self._before, self._now) if first is not None]
        return min(known) + sample * 1_000_000_000 // self._samplerate if known else None

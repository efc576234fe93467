"""Whether a line is news: kernel time only goes forwards, except in a log that someone shows again."""

from __future__ import annotations

__all__ = ["Timeline"]

_TOLERANCE_S = 1.0
"""Lines of two cpus may come out in the wrong order by less than this."""
_MAX_GAPS = 16


class Timeline:
    """The kernel time of one boot, as the console shows it.

    A line that is more than a second earlier than the newest one is a replay (``dmesg``, ``cat`` of a log), and so is
    what follows until the time has caught up. One exception keeps a damaged time (``[ 9942.5…`` for ``[  942.5…``), or
    an old log with greater times, from blinding the detector: a line that falls *between* two times at which a jump
    forwards was seen, directly after live lines, takes the jump back. A replay does not: what it shows had been shown.
    Where only one line had jumped, the one after it takes it back also if it is as early as what stood before the jump,
    or a little earlier: lines may have one time, or come out in the wrong order.
    """

    def __init__(self) -> None:
        self.newest: float | None = None
        self._gaps: list[tuple[float, float]] = []
        self.replaying = False
        self._passed = False
        """Lines have been passed over since the last that was looked at: a jump to the next one need be none."""

    def is_back(self, time_s: float | None) -> bool:
        """Whether ``time_s`` is clearly before the newest time."""
        return time_s is not None and self.newest is not None and time_s < self.newest - _TOLERANCE_S

    def live(self, time_s: float | None) -> bool:
        """Whether a line with this kernel time (None: it shows none) is news, and take note of its time."""
        if time_s is None:
            return not self.replaying
        newest = self.newest
        if newest is None:
            self.newest = time_s
            return True
        passed, self._passed = self._passed, False
        if time_s >= newest - _TOLERANCE_S:
            self.replaying = False
            if time_s > newest:
                if time_s > newest + _TOLERANCE_S and not passed:
                    self._gaps.append((newest, time_s))
                    del self._gaps[:-_MAX_GAPS]
                self.newest = time_s
            return True
        if not self.replaying:
            for index in range(len(self._gaps) - 1, -1, -1):
                low, high = self._gaps[index]
                if low < time_s < high:
                    # this, too, may be of an old log whose times are greater, only less so: it can be taken back, too
                    self._gaps[index:] = [(low, time_s)] if time_s > low + _TOLERANCE_S else []
                    self.newest = time_s
                    return True
            if self._gaps and self._gaps[-1][1] == newest and time_s >= self._gaps[-1][0] - _TOLERANCE_S:
                self.newest = self._gaps.pop()[0]
                return True
        self.replaying = True
        return False

    def is_now(self, time_s: float) -> None:
        """A line of this time is known to be news."""
        self.newest = time_s
        self.replaying = self._passed = False
        self._gaps.clear()

    def pass_time(self, time_s: float) -> bool:
        """As :meth:`live` for a line among many that are passed over: a jump between two of these is none."""
        newest = self.newest
        if newest is None or time_s >= newest - _TOLERANCE_S:
            self.newest = time_s if newest is None else max(newest, time_s)
            self.replaying = False
            live = True
        else:
            live = self.live(time_s)
        self._passed = True
        return live

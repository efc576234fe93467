"""A bar on stderr for work that takes long; only where stderr is a terminal, and gone when the work is done."""

from __future__ import annotations

import os
import shutil
import sys
import time

from pytest_shepherd_hil.text import printable

__all__ = ["ProgressBar"]

AFTER_S = 0.5
EVERY_S = 0.1
WIDTH = 24


class ProgressBar:
    """How much of some bytes has been read.

    Args:
        total: all bytes that there are to read; 0 where that is not known.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._shows = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._started = time.monotonic()
        self._next = self._started + AFTER_S
        self._shown = False

    def show(self, done: int, name: str) -> None:
        """Show that ``done`` bytes have been read, of which the last were in ``name``."""
        if not self._shows or time.monotonic() < self._next:
            return
        now = time.monotonic()
        self._next = now + EVERY_S
        rate = done / (now - self._started) / 1e6
        if self._total:
            part = min(done / self._total, 1.0)
            head = f"[{'#' * int(part * WIDTH):<{WIDTH}}] {part:4.0%} of {self._total / 1e6:.0f} MB, {rate:.0f} MB/s  "
        else:
            head = f"{done / 1e6:.0f} MB, {rate:.0f} MB/s  "
        width = max(shutil.get_terminal_size().columns - 1, 0)  # a line that wraps could not be taken away again
        room = max(width - len(head), 0)
        sys.stderr.write(f"\r\x1b[K{head[:width]}{printable(name)[-room:] if room else ''}")
        sys.stderr.flush()
        self._shown = True

    def wipe(self) -> None:
        """Take the bar away, for lines that come out on the same terminal."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False

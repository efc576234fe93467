"""The user's time limits, and the time that is ours."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["paused_alarm"]


@contextmanager
def paused_alarm() -> Iterator[None]:
    """Hold pytest-timeout's alarm while a verdict is made or a board is brought back.

    It limits what a test does; were it to go off in the middle of our own work, which has limits of its own, an
    incident could go untold and a board stay half restarted. Elsewhere than in the main thread nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    left_s, interval_s = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        if left_s > 0:
            signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)

"""SIGTERM ends a run as Ctrl-C does: with fixtures torn down, and each board as it was found."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["SIGTERM", "Termination"]

SIGTERM = "SIGTERM"
"""What the ``KeyboardInterrupt`` says that it makes of the signal."""


class Termination:
    """Takes over SIGTERM, where nobody else has, in the main thread of any process of a run with boards.

    Attributes:
        came: whether the signal has come.
    """

    def __init__(self) -> None:
        self.came = False
        self._installed = False

    def install(self) -> None:
        """From here on; once is enough."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_signal)
            self._installed = True

    def uninstall(self) -> None:
        """As it was before."""
        if self._installed and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._installed = False

    def ask(self) -> None:
        """Have this process end so, unless it is about to. For any thread."""
        if not self.came:
            os.kill(os.getpid(), signal.SIGTERM)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self.came = True
        raise KeyboardInterrupt(SIGTERM)

"""The client of a virtual board's control socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.rig.control import Control

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["VirtualControl"]


class VirtualControl(Control):
    """What can be done to a virtual board, beside what can be done to any.

    Args:
        path: the socket.
        timeout_s: how long an answer may take.
    """

    def __init__(self, path: str | Path, timeout_s: float = 30.0) -> None:
        super().__init__(path, "virtual board", timeout_s)

    def cold_boot(self, *, verbose: bool = False) -> None:
        """Cut the power, and boot from nothing instead of going on from the snapshot; returns when power is on.

        Args:
            verbose: whether the kernel says everything while it boots.
        """
        self._ask("cold_boot", verbose=verbose)

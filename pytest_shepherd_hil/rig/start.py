"""Starts the board that a run has for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.rig.control import Control
    from pytest_shepherd_hil.rig.process import BoardProcess

__all__ = ["start_own"]


def start_own(config: BoardConfig, say: Callable[[str], None]) -> BoardProcess[Control]:
    """Start an embedded or a virtual board; returns when its hardware is there.

    Args:
        config: of a board with a ``sim`` or a ``virtual`` table.
        say: shows a line of progress to the user.

    Raises:
        HilError: it does not start.
    """
    if config.sim is not None:
        from pytest_shepherd_hil.sim.process import SimProcess

        return SimProcess.start(config.sim.fault, config.sim.fault_after)
    from pytest_shepherd_hil.virtual.process import VirtualProcess

    assert config.virtual is not None
    return VirtualProcess.start(say, snapshot=config.virtual.snapshot)

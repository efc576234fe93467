"""Which driver brings a board's samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.logic.acquisition import Acquisition

__all__ = ["open_analyzer"]


def open_analyzer(board: BoardConfig, own_probe: str | None = None) -> LogicAnalyzer:
    """The logic analyzer of a board that has one. Nothing is opened yet.

    Args:
        board: what ``boards.toml`` says of the board.
        own_probe: for a board of our own, the socket of its probe.
    """
    config = board.logic
    assert config is not None

    def acquire() -> Acquisition:
        if own_probe is not None:
            from pytest_shepherd_hil.logic.probe import ProbeSocket

            return ProbeSocket(own_probe, config, board.name)
        from pytest_shepherd_hil.logic.sigrok_cli import SigrokCli

        return SigrokCli(config, board.name)

    return LogicAnalyzer(config, board.name, acquire, console=board.console)

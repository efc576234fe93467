"""Which driver brings a board's samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer

if TYPE_CHECKING:
    from pytest_shepherd_hil.boards import BoardConfig, LogicConfig
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
        return _acquire(config, board.name, own_probe)

    def take_block(samples: int) -> Acquisition:
        from pytest_shepherd_hil.logic.pysigrok_hardware import PysigrokBlock

        return PysigrokBlock(config, board.name, samples)

    return LogicAnalyzer(
        config, board.name, acquire, open_block=None if config.streams else take_block, console=board.console
    )


def _acquire(config: LogicConfig, board: str, own_probe: str | None) -> Acquisition:
    if own_probe is not None or config.driver == "probe":
        from pytest_shepherd_hil.logic.probe import ProbeSocket

        return ProbeSocket(own_probe or config.conn or "", config, board)
    if config.driver == "replay":
        from pytest_shepherd_hil.logic.replay import Replay

        return Replay(config, board)
    from pytest_shepherd_hil.logic.sigrok_cli import SigrokCli

    return SigrokCli(config, board)

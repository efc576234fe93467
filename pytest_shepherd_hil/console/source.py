"""Opens what ``[boards.NAME.console]`` names: a serial port, or a channel of the logic analyzer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.port import SerialPort

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.boards import ConsoleConfig
    from pytest_shepherd_hil.console.port import Port
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer

__all__ = ["measured", "open_port"]


def open_port(
    config: ConsoleConfig,
    analyzer: LogicAnalyzer | None,
    *,
    board: str,
    break_sender: Callable[[], None] | None = None,
) -> Port:
    """Open the console that is watched.

    Args:
        config: the board's console.
        analyzer: the board's logic analyzer; may be None where there is a serial port.
        board: name of the board, for error messages.
        break_sender: as for :class:`~pytest_shepherd_hil.console.port.SerialPort`.

    Raises:
        HilError: it cannot be opened.
    """
    if config.port is not None:
        return SerialPort(config.port, config.baudrate, board=board, break_sender=break_sender)
    from pytest_shepherd_hil.logic.port import ChannelPort

    assert config.logic is not None
    assert analyzer is not None
    return ChannelPort(analyzer, config.logic, config.baudrate, board=board)


def measured(port: Port) -> str:
    """What rate the line has, in words, where a logic analyzer hears it; else nothing."""
    from pytest_shepherd_hil.logic.port import ChannelPort

    return port.measured() if isinstance(port, ChannelPort) else ""

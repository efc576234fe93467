"""What a channel says, as a console that a test can look at beside the one that is watched."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.console import Console
from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.console.watch import Watch
from pytest_shepherd_hil.kernel.live import LiveDetector
from pytest_shepherd_hil.logic.port import ChannelPort

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.console.port import PortLostError
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer

__all__ = ["channel_console"]


@contextmanager
def channel_console(analyzer: LogicAnalyzer, channel: str, baudrate: int) -> Iterator[Console]:
    """Decode a channel while the block runs; see :meth:`~pytest_shepherd_hil.logic.analyzer.LogicAnalyzer.console`."""
    port = ChannelPort(analyzer, channel, baudrate, board=analyzer.board)
    log = ConsoleLog()
    lost: list[PortLostError] = []

    def gone(error: PortLostError) -> None:
        lost.append(error)
        log.wake()

    watch = Watch(port, log, LiveDetector(), lambda _: None, on_line=lambda _: None, on_lost=gone)
    try:
        watch.start()
        try:
            yield Console(log, lambda: port, board=analyzer.board, dead=lambda: str(lost[0]) if lost else None)
        finally:
            watch.stop()
    finally:
        port.close()
        log.close()

"""What a channel says, as a console that a test can look at beside the one that is watched."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.console import Console
from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.console.port import PortLostError
from pytest_shepherd_hil.logic.port import ChannelPort

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer

__all__ = ["channel_console"]

_IDLE_S = 1.0


class _Reader:
    """Reads a port into a log, in a thread of its own, until it is told to stop."""

    def __init__(self, port: ChannelPort, log: ConsoleLog) -> None:
        self.lost: str | None = None
        self._port = port
        self._log = log
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="hil-channel", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            try:
                data = self._port.read(_IDLE_S)
            except PortLostError as error:
                self.lost = str(error)
                self._log.wake()
                return
            if data:
                self._log.append(data, time.monotonic_ns())

    def stop(self) -> None:
        self._stopping = True
        self._port.cancel()
        self._thread.join(2.0)


@contextmanager
def channel_console(analyzer: LogicAnalyzer, channel: str, baudrate: int) -> Iterator[Console]:
    """Decode a channel while the block runs; see :meth:`~pytest_shepherd_hil.logic.analyzer.LogicAnalyzer.console`."""
    port = ChannelPort(analyzer, channel, baudrate, board=analyzer.board)
    log = ConsoleLog()
    try:
        reader = _Reader(port, log)
        try:
            yield Console(log, lambda: port, board=analyzer.board, dead=lambda: reader.lost)
        finally:
            reader.stop()
    finally:
        port.close()
        log.close()

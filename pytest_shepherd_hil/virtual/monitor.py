"""QMP, QEMU's machine protocol, for callers that wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

from qemu.qmp import QMPClient, QMPError

from pytest_shepherd_hil.errors import BoardError

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

__all__ = ["Monitor"]

T = TypeVar("T")
CONNECT_S = 10.0


class Monitor:
    """A QEMU process's monitor. Its methods may be called from any thread.

    Args:
        end: connected to the process's QMP channel; the monitor closes it.

    Raises:
        BoardError: nobody answers there.
    """

    def __init__(self, end: socket.socket) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="monitor", daemon=True)
        self._thread.start()
        self._client = QMPClient("board")
        end.setblocking(False)
        try:
            self._wait(self._client.connect(end), "connecting", CONNECT_S)
        except BoardError:
            self._stop()
            raise

    def execute(self, command: str, arguments: dict[str, object] | None = None, timeout_s: float = 10.0) -> object:
        """Have a command done, and return its result.

        Raises:
            BoardError: QEMU refuses, has gone, or does not answer in time.
        """
        return self._wait(self._client.execute(command, arguments), command, timeout_s)

    def close(self) -> None:
        """Hang up. Closing twice is fine."""
        if self._thread.is_alive():
            with contextlib.suppress(BoardError):
                self._wait(self._client.disconnect(), "disconnecting", 1.0)
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._loop.close()

    def _wait(self, work: Coroutine[object, object, T], what: str, timeout_s: float) -> T:
        if not self._thread.is_alive():
            work.close()
            raise BoardError(f"virtual board: QEMU's monitor: {what}: it has been closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise BoardError(f"virtual board: QEMU's monitor: {what}: no answer in {timeout_s:g} s") from None
        except (QMPError, OSError, EOFError) as error:
            raise BoardError(f"virtual board: QEMU's monitor: {what}: {error}") from error

"""The thread that reads a board's console, all the time, and has every line judged."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.port import PortLostError
from pytest_shepherd_hil.kernel.lines import parse_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.console.lines import ConsoleLine, LineBlock
    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.console.port import Port
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.kernel.live import LiveDetector

__all__ = ["Watch"]


class Watch:
    """Reads a port until it is stopped or the port is lost.

    Args:
        port: where the bytes come from.
        log: where they go to.
        detector: judges each line; used by this watch's thread only.
        on_incident: called in the watch's thread for each incident, also for one that has changed.
        on_line: called in the watch's thread for each line, after it has been judged; in a flood of healthy lines only
            where one of them may be ours. Returns the kernel's time now, where the line is known to be no old one.
        on_lost: called in the watch's thread, once, if the port goes away.
    """

    IDLE_S = 1.0
    """How long a read waits while nothing is going on."""
    CUT_S = 1.5
    """A report that is silent for so long has been cut off."""
    SETTLE_S = 0.02
    """How long the next byte may take where a report has come to its end: a panic follows it in the same breath. Should
    it come later, it still becomes part of the report. USB adapters keep bytes back for up to 16 ms."""
    FLOOD_LINES = 16
    """Of so many lines in one read it is looked first whether there is anything in them at all."""
    OURS = b"hil: "
    """All that we write to a kernel's log has it."""

    def __init__(
        self,
        port: Port,
        log: ConsoleLog,
        detector: LiveDetector,
        on_incident: Callable[[Incident], None],
        on_line: Callable[[ConsoleLine], float | None],
        on_lost: Callable[[PortLostError], None],
    ) -> None:
        self._port = port
        self._log = log
        self._detector = detector
        self._on_incident = on_incident
        self._on_line = on_line
        self._on_lost = on_lost
        self._stopping = False
        self._epoch_wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hil-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def new_epoch(self) -> None:
        """The board is being restarted on purpose: what it prints while booting is no news."""
        self._epoch_wanted.set()
        self._port.cancel()  # the read, which may wait for long

    def stop(self) -> None:
        """End the thread; waits for it no longer than two seconds."""
        self._stopping = True
        self._port.cancel()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _run(self) -> None:
        last_ns = time.monotonic_ns()
        while not self._stopping:
            try:
                chunk = self._port.read(self._patience_s(last_ns))
            except PortLostError as error:
                if self._detector.pending:
                    self._close_report()
                if not self._stopping:
                    self._on_lost(error)
                return
            if self._epoch_wanted.is_set():
                self._epoch_wanted.clear()
                self._hand_on(self._detector.flush())
                self._detector.new_epoch()
            now_ns = time.monotonic_ns()
            if chunk:
                last_ns = now_ns
                self._judge(self._log.append(chunk, now_ns))
            elif self._detector.pending and self._patience_s(last_ns) <= 0:
                self._close_report()

    def _patience_s(self, last_ns: int) -> float:
        """How long to wait for the next byte, where the last one came at ``last_ns``."""
        if not self._detector.pending:
            return self.IDLE_S
        silence_s = self.SETTLE_S if self._detector.settling else self.CUT_S
        return max(silence_s - (time.monotonic_ns() - last_ns) / 1e9, 0.0)

    def _judge(self, lines: LineBlock) -> None:
        data = lines.data
        if len(lines) >= self.FLOOD_LINES and data and self.OURS not in data and self._detector.pass_over(data):
            return
        for line in lines:
            self._hand_on(self._detector.feed(line.line))
            now_s = self._on_line(line)
            if now_s is not None:
                self._detector.is_now(now_s)

    def _close_report(self) -> None:
        """The board has fallen silent in the middle of a report: take what there is, half a line too."""
        rest = self._log.unfinished
        if rest:
            self._hand_on(self._detector.feed(parse_line(rest, self._log.count)))
        self._hand_on(self._detector.flush())

    def _hand_on(self, incidents: list[Incident]) -> None:
        for incident in incidents:
            self._on_incident(incident)

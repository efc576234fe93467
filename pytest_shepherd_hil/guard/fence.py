"""A unique line written to the kernel's log: when it comes out of the console, all before it has come out, too."""

from __future__ import annotations

import contextlib
import re
import select
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_shepherd_hil.console.log import ConsoleLog, Wakeup
from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.kernel.lines import split_embedded

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.console.lines import ConsoleLine
    from pytest_shepherd_hil.guard.kmsg import KmsgWriter

__all__ = ["Fences"]


class Fences:
    """Writes fences through the shell and waits for them on the console.

    Args:
        kmsg: writes them.
        log: tells whether the console still talks.
        run: something that no other run's fences have in them.
    """

    boot_id: str | None = None
    """Of the kernel that took the last fence."""
    SILENCE_S = 5.0
    """A console that says nothing for so long has lost the fence."""
    MOST_STRAY = 100
    LONGEST_S = 60.0
    """How long to wait for a console that talks all the time."""

    def __init__(self, kmsg: KmsgWriter, log: ConsoleLog, run: str) -> None:
        self._kmsg = kmsg
        self._log = log
        self._prefix = f"hil: fence {run}-"
        self._pattern = re.compile(rf"(?<!>){re.escape(self._prefix)}\d+(?![\d'])")
        self._count = self._newest = 0
        self._out: dict[str, ConsoleLine] = {}
        self._sent_ns = 0
        self._crossed: ConsoleLine | None = None
        self._wakeup: Wakeup | None = None
        self._lock = threading.Lock()

    def on_line(self, line: ConsoleLine) -> float | None:
        """Told of every console line once it has been judged; in the watch's thread.

        Returns:
            The kernel's time now, where the line is a fence that comes out for the first time.
        """
        # Anywhere in the line: what somebody types may stand before it. But a shell's echo of our own command is none.
        match = self._pattern.search(line.text)
        if match is None:
            return None
        # a log that is being shown may stand before it, with a time of its own
        own = replace(line, line=split_embedded(line.line)[-1])
        self._out[match[0]] = own
        self.wake()
        number = int(match[0].removeprefix(self._prefix))
        if number <= self._newest:
            return None
        self._newest = number
        return own.kernel_time_s

    def nudge(self, timeout_s: float = 5.0) -> None:
        """Have the kernel log something, so that a line that it keeps back comes out. Does not fail."""
        with contextlib.suppress(HilError):
            self._kmsg.write("<7>hil: flush", min(timeout_s, 5.0))

    def kernel_now(self) -> tuple[float, float] | None:
        """The kernel's time now, as the last fence tells: it is between these two. None before the first.

        A fence was printed at some time between its being sent and its coming out.
        """
        crossed = self._crossed
        if crossed is None or crossed.kernel_time_s is None:
            return None
        now_ns = time.monotonic_ns()
        return (
            crossed.kernel_time_s + (now_ns - crossed.time_ns) / 1e9,
            crossed.kernel_time_s + (now_ns - self._sent_ns) / 1e9,
        )

    def forget(self) -> None:
        """Kernel time begins again."""
        self._crossed = None

    def wake(self) -> None:
        """Have the waiter look whether it should give up. For any thread."""
        with self._lock:
            if self._wakeup is not None:
                self._wakeup.set()

    def cross(self, given_up: Callable[[], bool], longest_s: float = LONGEST_S) -> int | None:
        """Write a fence and wait until it has come out and all before it has been judged.

        Args:
            given_up: asked whenever something happens: whether to stop waiting.
            longest_s: how long to wait for a console that talks all the time, in seconds.

        Returns:
            The number of the line after it; None if it did not come out, or if ``given_up`` said to stop.

        Raises:
            ShellError, BoardDeadError: the board did not take it.
        """
        self._count += 1
        if len(self._out) > self.MOST_STRAY:  # those that came when nobody waited any more
            self._out.clear()
        text = f"{self._prefix}{self._count}"
        started_ns = time.monotonic_ns()
        self._wakeup = wakeup = Wakeup()
        try:
            # <3>, error level, passes a quiet console, too.
            self.boot_id = self._kmsg.write(f"<3>{text}")
            deadline = time.monotonic() + longest_s
            while True:
                wakeup.clear()
                if text in self._out:
                    self._crossed, self._sent_ns = self._out.pop(text), started_ns
                    return self._crossed.number + 1
                talked_ns = max(self._log.last_ns or 0, started_ns)
                left_s = min(deadline - time.monotonic(), self.SILENCE_S - (time.monotonic_ns() - talked_ns) / 1e9)
                if left_s <= 0 or given_up():
                    return None
                select.select([wakeup], [], [], left_s)
        finally:
            with self._lock:
                self._wakeup = None
            wakeup.close()

"""Stopping a running test from another thread, wherever it is stuck."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

from pytest_shepherd_hil.guard.places import in_debugger, in_machinery, in_our_own, in_shelter
from pytest_shepherd_hil.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from types import FrameType, TracebackType

__all__ = ["Interrupter", "TestAbortedError"]


class TestAbortedError(Failed):
    """Wakes a test whose board has failed. Only that: the verdict is the guard's own record.

    Like every outcome of pytest it is no ``Exception``: ``except Exception`` in a test does not stop it.
    """

    __test__ = False

    def __init__(self, reason: str) -> None:
        super().__init__(reason, pytrace=False)


class _Phase:
    """A phase of a test in which it may be interrupted: a context manager, used once."""

    def __init__(self, interrupter: Interrupter, *, once: bool) -> None:
        self.once = once
        self.raised = 0
        """How often the test was interrupted."""
        self.refused = 0
        """How often in a row it was not, because of where it was."""
        self.wanted: Hashable | None = None
        """The incident that it is to be interrupted for."""
        self.reason = ""
        self.ended = threading.Event()
        self._interrupter = interrupter

    def __enter__(self) -> None:
        self._interrupter.phase = self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interrupter.phase = None
        self.ended.set()
        self._interrupter.await_cut()  # before the test's end is dealt with


class Interrupter:
    """Raises :class:`TestAbortedError` in the main thread while a test is armed.

    It is done with SIGURG, which kills nobody if it comes late, and repeated until the test has ended: a test may
    swallow the exception, or be in a place that must not be interrupted. Whoever sits at a debugger's prompt is told,
    and left alone until the test goes on.

    Args:
        say: shows a line of progress to the user.
    """

    SIGNAL = signal.SIGURG
    RETRY_S = 0.005
    """Until the exception has been raised once."""
    PATIENCE_S = 2.0
    """How long a test may take to end after it was raised."""
    ATTEMPTS = 2000
    PATIENCE_OF_MACHINERY = 400
    """How often pytest's own code is left alone, where an exception would harm the tests that follow."""
    DEBUGGER_LOOK_S = 0.05
    """How often it is looked whether a person still sits at a debugger's prompt."""

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self.phase: _Phase | None = None
        """The phase that is armed now."""
        self._say = say
        self._cutting = threading.Lock()
        self._previous: object = None
        self._installed = False
        self._target: int | None = None
        self._answered: set[Hashable] = set()
        self._told: set[Hashable] = set()

    def install(self) -> None:
        """Take over the signal, once. Only in the main thread can a test be interrupted; elsewhere nothing is done."""
        if self._installed or threading.current_thread() is not threading.main_thread():
            return
        self._previous = signal.signal(self.SIGNAL, self._on_signal)
        self._target = threading.get_ident()
        self._installed = True

    def uninstall(self) -> None:
        if self._installed and threading.current_thread() is threading.main_thread():
            signal.signal(self.SIGNAL, self._previous)  # type: ignore[arg-type]  # what signal() itself gave us
            self._installed = False

    def armed(self, *, once: bool = False) -> _Phase:
        """A phase of a test in which it may be interrupted, as a context manager.

        Args:
            once: only what runs now is to be stopped, and not what follows: other fixtures' teardown is to run.
        """
        return _Phase(self, once=once)

    def answered(self, incidents: Iterable[Hashable]) -> None:
        """The test has dealt with these incidents and goes on: they interrupt nothing any more.

        When this returns, nobody is cutting off for them what the test may be waiting for.
        """
        self._answered.update(incidents)
        self.await_cut()

    def await_cut(self) -> None:
        """Wait until whoever is cutting something off right now is done."""
        if self._cutting.acquire(timeout=self.PATIENCE_S):
            self._cutting.release()

    def interrupt(self, incident: Hashable, reason: str, cut: Callable[[], None]) -> None:
        """Stop the test that is armed now, if there is one. Returns at once.

        Args:
            incident: says which incident it is stopped for: its board and its id.
            reason: what the exception says.
            cut: closes what the test may be waiting for in a place no exception leaves (the shell's channels);
                called before each attempt.
        """
        phase = self.phase
        if phase is None:
            if in_debugger(self._frame()):
                self._tell(incident, f"{reason}: it is told when the debugger is left")
            return
        thread = threading.Thread(
            target=self._pursue, args=(phase, incident, reason, cut), name="hil-abort", daemon=True
        )
        thread.start()

    def _pursue(self, phase: _Phase, incident: Hashable, reason: str, cut: Callable[[], None]) -> None:
        for _ in range(self.ATTEMPTS):
            while in_debugger(self._frame()):
                self._tell(incident, f"{reason}: the test is stopped when it leaves the debugger's prompt")
                if phase.ended.wait(self.DEBUGGER_LOOK_S):
                    return
            with self._cutting:
                if self.phase is not phase or incident in self._answered:
                    return
                cut()
                phase.reason = reason
                phase.wanted = incident
            before = phase.raised
            if self._installed and self._target is not None:
                signal.pthread_kill(self._target, self.SIGNAL)
            if phase.ended.wait(self.RETRY_S):
                return
            if phase.raised != before and (phase.once or phase.ended.wait(self.PATIENCE_S)):
                return

    def _tell(self, incident: Hashable, text: str) -> None:
        if incident not in self._told:
            self._told.add(incident)
            self._say(text)

    def _frame(self) -> FrameType | None:
        """Where the test is now."""
        return sys._current_frames().get(self._target) if self._target is not None else None

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True  # a debugger stops in the test
        del signum
        phase = self.phase
        if phase is None or phase.wanted is None or phase.wanted in self._answered:
            return
        if in_our_own(frame) or in_shelter(frame) or in_debugger(frame):
            return
        if phase.refused < self.PATIENCE_OF_MACHINERY and in_machinery(frame):
            phase.refused += 1
            return
        phase.refused = 0
        phase.raised += 1
        raise TestAbortedError(phase.reason)

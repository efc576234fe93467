"""Stopping a running test from another thread, wherever it is stuck."""

from __future__ import annotations

import os
import signal
import sysconfig
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import _pytest
import pluggy

from pytest_shepherd_hil.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator
    from types import FrameType

__all__ = ["Interrupter", "TestAbortedError"]

_STDLIB = sysconfig.get_path("stdlib") + os.sep
_PACKAGE = Path(__file__).parents[1]
_LOCKS_OF_SSH = f"{os.sep}paramiko{os.sep}"
"""Where an exception can leave a lock of the connection held for ever."""
_MACHINERY = tuple(str(Path(str(module.__file__)).parent) + os.sep for module in (_pytest, pluggy))


class TestAbortedError(Failed):
    """Wakes a test whose board has failed. Only that: the verdict is the guard's own record.

    Like every outcome of pytest it is no ``Exception``: ``except Exception`` in a test does not stop it.
    """

    __test__ = False

    def __init__(self, reason: str) -> None:
        super().__init__(reason, pytrace=False)


class Interrupter:
    """Raises :class:`TestAbortedError` in the main thread while a test is armed.

    While it is installed, SIGTERM ends the run as Ctrl-C does: with fixtures torn down and the board as it was found.

    It is done with SIGURG, which kills nobody if it comes late, and repeated until the test has ended: a test may
    swallow the exception, or be in a place that must not be interrupted.
    """

    SIGNAL = signal.SIGURG
    RETRY_S = 0.005
    """Until the exception has been raised once."""
    PATIENCE_S = 2.0
    """How long a test may take to end after it was raised."""
    ATTEMPTS = 2000
    PATIENCE_OF_MACHINERY = 400
    """How often pytest's own code is left alone, where an exception would harm the tests that follow."""
    SHELTERED = ("console.log", "console.lines", "console.transcript", "guard.fence", "guard.block")
    """Our modules whose code is never interrupted: it holds a lock that the console's reader needs, or it is dealing
    with the incident already."""

    def __init__(self) -> None:
        self._armed = False
        self._generation = 0
        self._raised = 0
        self._refused = 0
        self._reason = ""
        self._cutting = threading.Lock()
        self._ended = threading.Event()
        self._previous: object = None
        self._installed = False
        self._ends_gently = False
        self._target: int | None = None
        self._shelter = frozenset(_file(module) for module in self.SHELTERED)
        self._wanted: Hashable | None = None
        self._answered: set[Hashable] = set()
        self._once = False

    def install(self) -> None:
        """Take over the signal, once. Only in the main thread can a test be interrupted; elsewhere nothing is done."""
        if self._installed or threading.current_thread() is not threading.main_thread():
            return
        self._previous = signal.signal(self.SIGNAL, self._on_signal)
        self._target = threading.get_ident()
        self._installed = True
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_term)
            self._ends_gently = True

    def uninstall(self) -> None:
        if self._installed and threading.current_thread() is threading.main_thread():
            signal.signal(self.SIGNAL, self._previous)  # type: ignore[arg-type]  # what signal() itself gave us
            self._installed = False
            if self._ends_gently:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                self._ends_gently = False

    @contextmanager
    def armed(self, *, once: bool = False) -> Iterator[None]:
        """A phase of a test in which it may be interrupted.

        Args:
            once: only what runs now is to be stopped, and not what follows: other fixtures' teardown is to run.
        """
        self._once = once
        self._generation += 1
        self._raised = 0
        self._refused = 0
        self._wanted = None
        self._ended.clear()
        self._armed = True
        try:
            yield
        finally:
            self._armed = False
            self._ended.set()
            # whoever is cutting something off right now is done before the test's end is dealt with
            if self._cutting.acquire(timeout=self.PATIENCE_S):
                self._cutting.release()

    def answered(self, incidents: Iterable[Hashable]) -> None:
        """The test has dealt with these incidents and goes on: they interrupt nothing any more.

        When this returns, nobody is cutting off for them what the test may be waiting for.
        """
        self._answered.update(incidents)
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
        if not self._armed:
            return
        thread = threading.Thread(
            target=self._pursue, args=(self._generation, incident, reason, cut), name="hil-abort", daemon=True
        )
        thread.start()

    def _pursue(self, generation: int, incident: Hashable, reason: str, cut: Callable[[], None]) -> None:
        for _ in range(self.ATTEMPTS):
            with self._cutting:
                if not self._armed or self._generation != generation or incident in self._answered:
                    return
                cut()
                self._wanted = incident
            before = self._raised
            self._reason = reason
            if self._installed and self._target is not None:
                signal.pthread_kill(self._target, self.SIGNAL)
            if self._ended.wait(self.RETRY_S):
                return
            if self._raised != before and (self._once or self._ended.wait(self.PATIENCE_S)):
                return

    @staticmethod
    def _on_term(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        raise KeyboardInterrupt("SIGTERM")

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        __tracebackhide__ = True  # a debugger stops in the test
        del signum
        if not self._armed or self._wanted is None or self._wanted in self._answered:
            return
        if _in_any(frame, self._shelter) or (self._refused < self.PATIENCE_OF_MACHINERY and _in_machinery(frame)):
            self._refused += 1
            return
        self._refused = 0
        self._raised += 1
        raise TestAbortedError(self._reason)


def _file(module: str) -> str:
    return str(_PACKAGE.joinpath(*module.split(".")).with_suffix(".py"))


def _in_any(frame: FrameType | None, files: frozenset[str]) -> bool:
    """Whether any function on the stack is from one of these files."""
    while frame is not None:
        if frame.f_code.co_filename in files:
            return True
        frame = frame.f_back
    return False


def _in_machinery(frame: FrameType | None) -> bool:
    """Whether pytest or paramiko runs here: the innermost function that is not the standard library's is its own."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<") and not (file.startswith(_STDLIB) and "site-packages" not in file):
            return file.startswith(_MACHINERY) or _LOCKS_OF_SSH in file
        frame = frame.f_back
    return False

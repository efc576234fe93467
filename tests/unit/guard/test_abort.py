"""Stopping a test from another thread: where it is done, and where never."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_shepherd_hil.guard.abort import Interrupter, TestAbortedError
from pytest_shepherd_hil.session import HilSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

LIMIT_S = 30.0


@pytest.fixture
def interrupter() -> Iterator[Interrupter]:
    found = Interrupter()
    found.install()
    yield found
    found.uninstall()


def session(interrupter: Interrupter) -> HilSession:
    """A session whose board has not been opened."""
    board = cast("Any", SimpleNamespace(name="sim01"))
    return HilSession(cast("Any", None), board, cast("Any", None), interrupter, lambda _: None)


def a_test() -> None:
    def helper() -> None:
        pass

    helper()


@contextmanager
def wanted(interrupter: Interrupter) -> Iterator[Callable[[FrameType], None]]:
    """An incident has come: gives what a signal of the interrupter's does in a function that runs now.

    Its own signals are held back meanwhile, so that one comes exactly where the test wants it.
    """
    cuts = threading.Semaphore(0)
    handler = cast("Callable[[int, FrameType | None], None]", signal.getsignal(Interrupter.SIGNAL))
    signal.pthread_sigmask(signal.SIG_BLOCK, {Interrupter.SIGNAL})
    try:
        interrupter.interrupt(("sim01", 1), "kernel oops", cuts.release)
        for _ in range(2):  # at the second the first attempt has been made
            assert cuts.acquire(timeout=LIMIT_S)
        yield lambda frame: handler(Interrupter.SIGNAL, frame)
    finally:
        signal.signal(Interrupter.SIGNAL, signal.SIG_IGN)  # those that were held back
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {Interrupter.SIGNAL})
        signal.signal(Interrupter.SIGNAL, handler)


def at_each_step(do: Callable[[], object], signal_in: Callable[[FrameType], None]) -> set[str]:
    """Call ``do`` and have the signal come at each line of all that it calls; names the functions in which it came."""
    came: set[str] = set()

    def step(frame: FrameType, event: str, _: object) -> object:
        if event != "call" and frame.f_code is not do.__code__:
            came.add(frame.f_code.co_name)
            signal_in(frame)
        return step

    sys.settrace(cast("Any", step))
    try:
        do()
    finally:
        sys.settrace(None)
    return came


@pytest.mark.parametrize("phase", ["setup", "call", "teardown"])
def test_a_phase_is_not_interrupted_in_our_own_code_at_its_end(interrupter: Interrupter, phase: str) -> None:
    running = session(interrupter).guarded(cast("Any", None), phase)
    next(running)

    with wanted(interrupter) as signal_in:
        assert {"guarded", "__exit__"} <= at_each_step(lambda: next(running, None), signal_in)
        at_each_step(a_test, signal_in)  # nothing is armed any more


def test_a_phase_is_not_interrupted_in_our_own_code_at_its_beginning(interrupter: Interrupter) -> None:
    running = session(interrupter).guarded(cast("Any", None), "call")
    with interrupter.armed(), wanted(interrupter) as signal_in:
        assert {"guarded", "__enter__"} <= at_each_step(lambda: next(running), signal_in)
    running.close()


def test_a_signal_that_is_late_leaves_the_next_phase_alone(interrupter: Interrupter) -> None:
    with interrupter.armed(), wanted(interrupter) as signal_in:
        with pytest.raises(TestAbortedError, match="kernel oops"):
            at_each_step(a_test, signal_in)
        with interrupter.armed():
            at_each_step(a_test, signal_in)


def test_a_test_is_interrupted_wherever_it_is_else(interrupter: Interrupter) -> None:
    with interrupter.armed():
        interrupter.interrupt(("sim01", 1), "kernel oops", lambda: None)
        with pytest.raises(TestAbortedError, match="kernel oops"):
            time.sleep(500)


def test_a_test_that_goes_on_is_interrupted_again(interrupter: Interrupter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interrupter, "PATIENCE_S", 0.5)
    with interrupter.armed():
        interrupter.interrupt(("sim01", 1), "kernel oops", lambda: None)
        for _ in range(2):
            with pytest.raises(TestAbortedError):
                time.sleep(500)


def test_what_a_test_has_dealt_with_interrupts_it_no_more(interrupter: Interrupter) -> None:
    with interrupter.armed(), wanted(interrupter) as signal_in:
        interrupter.answered([("sim01", 1)])
        at_each_step(a_test, signal_in)


def test_without_a_phase_nothing_is_cut_off(interrupter: Interrupter) -> None:
    before = set(threading.enumerate())
    interrupter.interrupt(("sim01", 1), "kernel oops", lambda: pytest.fail("cut off"))
    assert set(threading.enumerate()) <= before

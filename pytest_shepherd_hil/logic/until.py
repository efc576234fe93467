"""Capturing until something is so."""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING, Protocol

from pytest_shepherd_hil.errors import LogicError, MisuseError
from pytest_shepherd_hil.logic.activity import activity, duration_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.logic.capture import Capture

__all__ = ["Samples", "capture_until", "check_until"]

_LEAST_S = 0.02
_MOST_CHANNELS = 8


class Samples(Protocol):
    """An acquisition that runs."""

    @property
    def samplerate(self) -> int:
        """Samples a second, in Hz."""

    @property
    def total(self) -> int:
        """How many samples ever came in."""

    def wait_for(self, samples: float, timeout_s: float) -> bool:
        """Wait until that many have come in, for ``timeout_s`` seconds at most, or until it ends."""

    def capture(self, start: int = 0, end: int | None = None) -> Capture | None:
        """What is held from sample ``start`` on, up to sample ``end``."""


def check_until(board: str, until: object, timeout_s: float, after_s: float) -> None:
    """See :func:`capture_until`.

    Raises:
        MisuseError: nobody can wait for that.
    """
    if not callable(until):
        raise MisuseError(
            f"board {board}: logic.capture(until={until!r}): give a function that is asked with the capture so far, "
            'such as until=lambda cap: "login:" in cap.uart("uart_tx").text'
        )
    if not (0 < timeout_s < inf and 0 <= after_s < inf):
        raise MisuseError(
            f"board {board}: logic.capture(until=…, timeout_s={timeout_s!r}, after_s={after_s!r}): give seconds"
        )


def capture_until(
    stream: Samples,
    start: int,
    until: Callable[[Capture], object],
    timeout_s: float,
    after_s: float,
    patience_s: float,
    board: str,
) -> Capture:
    """What comes in from sample ``start`` on, until it is so, and for ``after_s`` seconds more.

    Args:
        stream: what runs.
        start: number of the first sample.
        until: asked again and again, with the capture so far; no more than half of the time goes into that.
        timeout_s: how many seconds of samples to wait for it.
        after_s: how many seconds to go on when it is so.
        patience_s: how long samples may be late, in seconds.
        board: name of the board, for error messages.

    Raises:
        LogicError: it was not so in time; or samples stopped coming.
    """
    last = start + max(1, round(timeout_s * stream.samplerate))
    deadline = time.monotonic() + 1.5 * timeout_s + patience_s
    pause_s = _LEAST_S
    while True:
        wanted = min(max(stream.total, start) + max(1, round(pause_s * stream.samplerate)), last)
        came = stream.wait_for(wanted, max(0.0, min(deadline - time.monotonic(), patience_s + pause_s)))
        asked = time.monotonic()
        so_far = stream.capture(start, last)
        if so_far is not None and len(so_far) and until(so_far):
            break
        if not came or wanted >= last:
            raise LogicError(_in_vain(board, so_far, timeout_s, stopped=not came))
        pause_s = max(_LEAST_S, time.monotonic() - asked)
    end = so_far.first_sample + len(so_far) + round(after_s * stream.samplerate)
    if not stream.wait_for(end, after_s * 1.5 + patience_s):
        raise LogicError(f"board {board}: logic.capture(until=…): it was so, but then no more samples came")
    found = stream.capture(start, end)
    return found if found is not None else so_far


def _in_vain(board: str, so_far: Capture | None, timeout_s: float, *, stopped: bool) -> str:
    if so_far is None or not len(so_far):
        return f"board {board}: logic.capture(until=…): no sample came"
    seen = "; ".join(
        f"{so_far.names.get(name, name)}: "
        + activity(so_far.edges(name), so_far.bits(name)[0], len(so_far), so_far.samplerate)
        for name in so_far.channels[:_MOST_CHANNELS]
    )
    why = "samples stopped coming before it was" if stopped else f"within {timeout_s:g} s it was not"
    return f"board {board}: logic.capture(until=…): {why} so; in {duration_text(so_far.duration_s)}: {seen}"

"""A running acquisition: its samples in a ring, and those who wait for them, record them or follow them."""

from __future__ import annotations

import _thread
import math
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError, LogicError
from pytest_shepherd_hil.logic.acquisition import DeviceLostError
from pytest_shepherd_hil.logic.capture import Capture
from pytest_shepherd_hil.logic.ring import SampleRing
from pytest_shepherd_hil.logic.sample_clock import SampleClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.boards import LogicConfig
    from pytest_shepherd_hil.logic.acquisition import Acquisition

__all__ = ["Follower", "Recording", "Stream"]

_POLL_S = 0.1
_STALLED_S = 5.0
"""An analyzer takes samples all the time, whatever the board does: one that brings none for so long hangs."""
_BLOCK_BYTES = 1 << 16
"""As much may be gathered on the way before any of it comes."""


class Stream:
    """One acquisition from its opening to its close, all by its own thread; what it brought stays when it has ended.

    The thread alone opens, reads and closes, so that whatever interrupts a test can leave no acquisition half open.
    A signal handler may raise at any moment in the main thread. Therefore only plain locks here, whose acquiring is one
    step: an exception inside ``Condition.wait`` or ``Thread.start`` can leave those with a lock that nobody releases.
    """

    STOP_S = 6.0

    def __init__(
        self, config: LogicConfig, board: str, open_acquisition: Callable[[], Acquisition], max_bytes: int | None = None
    ) -> None:
        self._ring_bytes = config.ring_bytes
        self._names = dict(config.channels)
        self._streams = config.streams
        self._where = f"board {board}: logic analyzer {config.driver}"
        self._open = open_acquisition
        self.max_bytes = max_bytes
        # reentrant: a signal handler may ask for a snapshot while the main thread holds it
        self._lock = threading.RLock()
        self._waiting: list[tuple[float, threading.Lock]] = []
        self._started = False
        self._stop = False
        self.users = 0
        self.error: HilError | None = None
        self.ended = False
        self.samplerate = config.samplerate
        self.channels: tuple[str, ...] = ()
        self.ring: SampleRing | None = None
        self.clock = SampleClock(config.samplerate)

    def start(self) -> None:
        """Start its thread. Apart from making it, so that one that is interrupted here is known and gets stopped."""
        self._started = True
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            if not self._stop:
                self._acquire()
        except HilError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  a thread has nobody else to tell
            self.error = LogicError(f"logic analyzer: {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self.ended = True
                self._wake()

    def _acquire(self) -> None:
        acquisition = self._open()
        try:
            with self._lock:
                self.samplerate, self.channels = acquisition.samplerate, acquisition.channels
                self.clock = SampleClock(self.samplerate)
                if self.max_bytes is None:
                    self.max_bytes = self._ring_bytes(acquisition.samplerate, acquisition.unitsize)
                # a little more than may be asked for: samples that come while a capture is being fetched
                self.ring = SampleRing(acquisition.unitsize, self.max_bytes + self.max_bytes // 8)
                self._wake()
            came, longest_s = time.monotonic(), _STALLED_S + _BLOCK_BYTES / acquisition.unitsize / self.samplerate
            while not self._stop:
                data = acquisition.read(_POLL_S)
                if not data and self._streams and time.monotonic() - came > longest_s:
                    raise DeviceLostError(
                        f"{self._where} has brought no sample for {longest_s:.3g} s, though it is still there; unplug "
                        "it and plug it in again, or give it a USB port of its own"
                    )
                if data:
                    came = time.monotonic()
                    with self._lock:
                        self.ring.append(data)
                        self.clock.note(self.ring.total, time.monotonic_ns())
                        self._wake()
        finally:
            acquisition.close()

    def _wake(self) -> None:
        """Let go those whose samples have come, or never will."""
        for waiting in [waiting for waiting in self._waiting if self._reached(waiting[0])]:
            self._waiting.remove(waiting)
            waiting[1].release()

    def _reached(self, samples: float) -> bool:
        return self.ended or (self.ring is not None and self.ring.total >= samples)

    @property
    def total(self) -> int:
        """How many samples ever came in."""
        return self.ring.total if self.ring is not None else 0

    def wait_for(self, samples: float, timeout_s: float) -> bool:
        """Wait until that many have come in, for ``timeout_s`` seconds at most, or until the stream ends."""
        arrival = threading.Lock()
        arrival.acquire()
        with self._lock:
            if self._reached(samples):
                arrival.release()
            else:
                self._waiting.append((samples, arrival))
        if not arrival.acquire(timeout=timeout_s):
            with self._lock, suppress(ValueError):
                self._waiting.remove((samples, arrival))
        return self.total >= samples

    def opened(self) -> None:
        """Wait until the acquisition is open; how long that may take is the driver's business.

        Raises:
            HilError: it could not be opened.
        """
        while not self.ended and self.ring is None:
            self.wait_for(0, 60.0)
        if self.ring is None:
            raise self.error or LogicError("logic analyzer: closed before it was open")

    def stop(self) -> None:
        """End it, and wait for that for a bounded time."""
        self._stop = True
        if self._started:
            self.wait_for(math.inf, self.STOP_S)

    @property
    def unitsize(self) -> int:
        """Bytes in a sample."""
        return self.ring.unitsize if self.ring is not None else 1

    def since(self, start: int) -> tuple[int, bytes]:
        """The number of the first sample still held from ``start`` on, and all from there."""
        with self._lock:
            first, blocks = self.ring.since(start) if self.ring is not None else (start, [])
        return first, blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def capture(self, start: int = 0, end: int | None = None) -> Capture | None:
        """What is held from sample ``start`` on, up to sample ``end``; ``None`` before the acquisition is open."""
        with self._lock:
            if self.ring is None:
                return None
            first, blocks = self.ring.since(start)
            unitsize = self.ring.unitsize
            host_ns = self.clock.host_ns(first)
        joined = b"".join(blocks)
        if end is not None:
            joined = joined[: max(0, end - first) * unitsize]
        names = {channel: name for channel, name in self._names.items() if channel in self.channels}
        return Capture(self.samplerate, self.channels, joined, names, first, host_ns=host_ns)


class Recording:
    """A recording that runs, or has run."""

    def __init__(self, stream: Stream, start: int) -> None:
        self._stream = stream
        self._start = start
        self._stop: int | None = None

    @property
    def capture(self) -> Capture:
        """The samples so far; after the block, all of it that the ring still holds. ``notes`` say what has left it."""
        found = self._stream.capture(self._start, self._stop)
        assert found is not None  # a recording begins with its first sample
        return replace(found, notes=self._notes(found.first_sample))

    def _notes(self, first: int) -> tuple[str, ...]:
        """What there is to say of it, where ``first`` is the oldest sample that is still held."""
        lost = first - self._start
        if lost <= 0:
            return ()
        note = (
            f"the recording's first {lost / self._stream.samplerate:.3g} s have left the memory, which is too small "
            "for it: set a larger ring_s or ring_mb in [boards.NAME.logic]"
        )
        return (note,)

    def _end(self) -> tuple[str, ...]:
        """It ends here; what there is to say of it."""
        self._stop = self._stream.total
        assert self._stream.ring is not None  # a recording begins with its first sample
        return self._notes(self._stream.ring.first)


class Follower:
    """The samples of what runs, as they come in, one after the other."""

    def __init__(self, stream: Stream, position: int) -> None:
        self._stream = stream
        self.position = position
        """Number of the next sample, counted from the first of the acquisition."""

    @property
    def samplerate(self) -> int:
        """Samples a second, in Hz."""
        return self._stream.samplerate

    @property
    def channels(self) -> tuple[str, ...]:
        """The analyzer's names of the channels, in bit order."""
        return self._stream.channels

    def take(self, most_s: float, timeout_s: float) -> tuple[int, bytes]:
        """The next samples, ``most_s`` seconds of them if so many come within ``timeout_s`` seconds.

        Returns:
            How many samples were lost before these, as nobody took them in time, and the samples.

        Raises:
            HilError: the acquisition has ended, and nothing is left of it.
        """
        self._stream.wait_for(self.position + max(1, round(most_s * self.samplerate)), timeout_s)
        first, samples = self._stream.since(self.position)
        lost, self.position = first - self.position, first + len(samples) // self._stream.unitsize
        if not samples and self._stream.ended:
            raise self._stream.error or LogicError("logic analyzer: closed")
        return lost, samples

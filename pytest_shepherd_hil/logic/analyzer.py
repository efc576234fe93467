"""The logic analyzer as a test uses it: capture for so long, or record while something happens."""

from __future__ import annotations

import _thread
import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError, LogicError, MisuseError
from pytest_shepherd_hil.logic.capture import Capture
from pytest_shepherd_hil.logic.ring import SampleRing
from pytest_shepherd_hil.logic.sample_clock import SampleClock
from pytest_shepherd_hil.logic.until import capture_until, check_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_shepherd_hil.boards import LogicConfig
    from pytest_shepherd_hil.logic.acquisition import Acquisition

__all__ = ["Follower", "LogicAnalyzer", "Recording"]

_POLL_S = 0.1

STREAM_DELAY_S = 0.15
"""How far the newest sample may be behind: a streamed block tells the host's time to about 0.1 s only."""


class _Stream:
    """One acquisition from its opening to its close, all by its own thread; what it brought stays when it has ended.

    The thread alone opens, reads and closes, so that whatever interrupts a test can leave no acquisition half open.
    A signal handler may raise at any moment in the main thread. Therefore only plain locks here, whose acquiring is one
    step: an exception inside ``Condition.wait`` or ``Thread.start`` can leave those with a lock that nobody releases.
    """

    STOP_S = 6.0

    def __init__(self, config: LogicConfig, open_acquisition: Callable[[], Acquisition], max_bytes: int) -> None:
        self._names = dict(config.channels)
        self._open = open_acquisition
        self._max_bytes = max_bytes
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
                # a little more than may be asked for: samples that come while a capture is being fetched
                self.ring = SampleRing(acquisition.unitsize, self._max_bytes + self._max_bytes // 8)
                self._wake()
            while not self._stop:
                if data := acquisition.read(_POLL_S):
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
        arrival.acquire(timeout=timeout_s)
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
        return first, b"".join(blocks)

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

    def __init__(self, stream: _Stream, start: int) -> None:
        self._stream = stream
        self._start = start
        self._stop: int | None = None

    @property
    def capture(self) -> Capture:
        """The samples so far; after the block, all of it that the ring still holds."""
        found = self._stream.capture(self._start, self._stop)
        assert found is not None  # a recording begins with its first sample
        return found

    def _end(self) -> None:
        self._stop = self._stream.total


class Follower:
    """The samples of what runs, as they come in, one after the other."""

    def __init__(self, stream: _Stream, position: int) -> None:
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


class LogicAnalyzer:
    """A board's logic analyzer. It is opened when something is captured, and closed after that.

    Args:
        config: ``[boards.NAME.logic]``.
        board: name of the board, for error messages.
        open_acquisition: opens the driver; called for each capture or recording, in a thread of its own.
        max_bytes: how much of a recording to keep; the oldest samples leave first.
        patience_s: how long samples may be late, in seconds.
    """

    def __init__(
        self,
        config: LogicConfig,
        board: str,
        open_acquisition: Callable[[], Acquisition],
        *,
        max_bytes: int = 64 << 20,
        patience_s: float = 5.0,
    ) -> None:
        self.config = config
        self.board = board
        self._open = open_acquisition
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._lock = threading.RLock()
        self._running: _Stream | None = None
        self._last: _Stream | None = None
        self._recording = False
        self._closed = False

    def capture(
        self,
        seconds: float | None = None,
        *,
        until: Callable[[Capture], object] | None = None,
        timeout_s: float = 10.0,
        after_s: float = 0.0,
    ) -> Capture:
        """Capture from now on, for so long or until something is so; during a recording, its next samples.

        ``logic.capture(seconds=1)``, ``logic.capture(until=lambda cap: len(cap.edges("sync")) >= 20)``.

        Args:
            seconds: how long; as many samples as the analyzer takes in that time.
            until: asked again and again, with the capture so far, whether it is so. Of a capture larger than the
                analyzer's memory here, the oldest samples leave first.
            timeout_s: how long to wait for that, in seconds.
            after_s: how long to go on when it is so, in seconds.

        Raises:
            LogicError: the analyzer is gone, or its samples do not come; or it was not so in time.
            HostError: this computer lacks what the driver needs.
            MisuseError: neither or both were given, a time that is none, or more than the analyzer's memory here holds.
        """
        if (seconds is None) == (until is None):
            raise MisuseError(f"board {self.board}: logic.capture(): give either seconds=… or until=…")
        if until is not None:
            check_until(self.board, until, timeout_s, after_s)
            with self._using() as (stream, start):
                try:
                    return capture_until(stream, start, until, timeout_s, after_s, self._patience_s, self.board)
                except LogicError as error:
                    if stream.error is None:
                        raise
                    raise self._short(str(error), stream) from error
        assert seconds is not None
        if not 0 < seconds <= 86400:
            raise MisuseError(f"board {self.board}: logic.capture(seconds={seconds!r}): give seconds, more than 0")
        with self._using() as (stream, start):
            samples = max(1, round(seconds * stream.samplerate))
            self._check_room(seconds, samples, stream)
            if not stream.wait_for(start + samples, seconds * 1.5 + self._patience_s):
                raise self._short(f"asked for {samples} samples ({seconds:g} s), got {stream.total - start}", stream)
            found = stream.capture(start, start + samples)
            if found is None or len(found) != samples:
                raise LogicError(
                    f"board {self.board}: asked for {samples} samples, but the first were overrun by later ones; "
                    "this computer is too busy for this samplerate"
                )
            return found

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """Record what happens in the block. It begins when samples come in, and ends with the block's last moment.

        Raises:
            LogicError: the analyzer could not be opened, brought no sample, or was lost during the block.
            HostError: this computer lacks what the driver needs.
            MisuseError: a recording already runs.
        """
        with self._lock:
            if self._recording:
                raise MisuseError(f"board {self.board}: logic.recording() inside another; use the outer one's capture")
            self._recording = True
        try:
            with self._using() as (stream, start):
                if not stream.wait_for(start + 1, self._patience_s):
                    raise self._short("recording: asked for samples, got 0", stream)
                began, count = time.monotonic(), stream.total
                recording = Recording(stream, start)
                try:
                    yield recording
                    # what was sampled during the block may still be on its way
                    late = count + round((time.monotonic() - began + STREAM_DELAY_S) * stream.samplerate)
                    stream.wait_for(late, min(1.0, self._patience_s))
                finally:
                    recording._end()
                if stream.error is not None:
                    raise stream.error
        finally:
            self._recording = False

    @contextmanager
    def following(self) -> Iterator[Follower]:
        """Follow what is sampled from now on; captures and recordings may be made meanwhile, of the same samples.

        Raises:
            LogicError: the analyzer could not be opened.
            HostError: this computer lacks what the driver needs.
        """
        with self._using() as (stream, start):
            yield Follower(stream, start)

    def snapshot(self, until_ns: int | None = None) -> Capture | None:
        """What the running capture or recording, or the last one, has so far; ``None`` where there was none.

        For evidence after a crash; from any thread, at any time.

        Args:
            until_ns: wait for samples taken until then, in ``time.monotonic_ns()``: they may still be on their
                way. Not for longer than that takes.
        """
        last = self._last
        if last is not None and until_ns is not None:
            last.wait_for(last.clock.sample_at(until_ns), STREAM_DELAY_S)
        return last.capture() if last is not None else None

    def forget(self) -> None:
        """Let go of the last capture, so that :meth:`snapshot` brings up no earlier test's. One that runs stays."""
        with self._lock:
            if self._running is None:
                self._last = None

    def close(self) -> None:
        """Stop what runs. What it brought is still there for :meth:`snapshot`."""
        with self._lock:
            self._closed = True
            stream = self._running
        if stream is not None:
            stream.stop()

    @contextmanager
    def _using(self) -> Iterator[tuple[_Stream, int]]:
        """The running stream, or a new one, and the number of its next sample; it ends with its last user."""
        stream: _Stream | None = None
        try:
            with self._lock:
                if self._closed:
                    raise LogicError(f"board {self.board}: the logic analyzer has been closed")
                running, start = self._running, 0
                if running is None or running.ended:
                    stream = _Stream(self.config, self._open, self._max_bytes)
                    stream.users = 1
                    self._running = self._last = stream
                    stream.start()
                else:
                    running.users += 1
                    stream, start = running, running.total
            stream.opened()
            yield stream, start
        finally:
            if stream is not None:
                with self._lock:
                    stream.users -= 1
                    idle = stream.users <= 0
                    if idle and self._running is stream:
                        self._running = None
                if idle:
                    stream.stop()

    def _check_room(self, seconds: float, samples: int, stream: _Stream) -> None:
        unitsize = stream.ring.unitsize if stream.ring is not None else 1
        if samples * unitsize > self._max_bytes:
            most = self._max_bytes / unitsize / stream.samplerate
            raise MisuseError(
                f"board {self.board}: logic.capture(seconds={seconds:g}) at {stream.samplerate} Hz is more than the "
                f"{self._max_bytes >> 20} MiB held in memory; capture {most:.3g} s at most, or sample more slowly"
            )

    def _short(self, what: str, stream: _Stream) -> HilError:
        if stream.error is not None:
            return LogicError(f"{stream.error} (board {self.board}: {what})")
        return LogicError(
            f"board {self.board}: {what}; the analyzer's samples come too slowly or not at all: unplug it and plug it "
            "in again, or sample more slowly"
        )

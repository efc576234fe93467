"""The logic analyzer as a test uses it: capture for so long, or record while something happens."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError, LogicError, MisuseError
from pytest_shepherd_hil.logic.acquisition import OverrunError
from pytest_shepherd_hil.logic.sample_clock import HOST_TIME_S
from pytest_shepherd_hil.logic.stream import Follower, Recording, Stream
from pytest_shepherd_hil.logic.until import capture_until, check_until
from pytest_shepherd_hil.text import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pytest_shepherd_hil.boards import ConsoleConfig, LogicConfig
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.logic.acquisition import Acquisition
    from pytest_shepherd_hil.logic.capture import Capture

__all__ = ["Follower", "LogicAnalyzer", "Recording"]

CONSOLE_CHANNEL = "uart_tx"
"""What boards.toml calls the channel on the board's TX line."""
STREAM_DELAY_S = 0.15
"""How far the newest sample may be behind: a streamed block tells the host's time to about 0.1 s only."""


class LogicAnalyzer:
    """A board's logic analyzer. It is opened when something is captured, and closed after that, or runs all the time.

    Args:
        config: ``[boards.NAME.logic]``.
        board: name of the board, for error messages.
        open_acquisition: opens the driver; called for each capture or recording, in a thread of its own.
        open_block: opens, instead, a driver that takes so many samples at once and not one more.
        console: ``[boards.NAME.console]``, which may name the channel of :meth:`console`.
        max_bytes: how much to keep, other than ``boards.toml`` says; the oldest samples leave first.
        patience_s: how long samples may be late, in seconds.
    """

    RETRY_S = 10.0
    """How long one that should run all the time, but was lost, is left alone before it is tried again."""

    def __init__(
        self,
        config: LogicConfig,
        board: str,
        open_acquisition: Callable[[], Acquisition],
        *,
        open_block: Callable[[int], Acquisition] | None = None,
        console: ConsoleConfig | None = None,
        max_bytes: int | None = None,
        patience_s: float = 5.0,
    ) -> None:
        self.config = config
        self.board = board
        self._open = open_acquisition
        self._console = console
        self._open_block = open_block
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._lock = threading.RLock()
        self._running: Stream | None = None
        self._last: Stream | None = None
        self._recording = False
        self._closed = False
        self._kept: Stream | None = None
        self._kept_since = 0.0
        self._say: Callable[[str], None] = lambda _: None
        self._said: str | None = None

    def keep_running(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Run from now on, so that :meth:`snapshot` has what was before a crash. Returns at once.

        Where that does not work it is said, once, and tried again when a later test begins: captures and recordings
        have their own errors.

        Args:
            say: shows a line to the user; in the thread of who calls :meth:`forget` and :meth:`close`.
        """
        self._say = say
        if self._open_block is None:
            self._keep()

    def _keep(self) -> None:
        with self._lock:
            if self._closed:
                return
            old, (self._kept, _) = self._kept, self._join()
            self._kept_since = time.monotonic()
        if old is not None:
            self._leave(old)

    @property
    def _lost(self) -> HilError | None:
        """Why it does not run, though it should all the time."""
        kept, running = self._kept, self._running
        if kept is None or not kept.ended or (running is not None and not running.ended):
            return None
        return kept.error

    def _tell(self, lost: HilError) -> None:
        if str(lost) != self._said:
            self._said = str(lost)
            why = first_line(lost).removeprefix(f"board {self.board}: ")
            self._say(f"{self.board}: nothing is recorded of its logic analyzer: {why}")

    def capture(
        self,
        seconds: float | None = None,
        *,
        until: Callable[[Capture], object] | None = None,
        timeout_s: float = 10.0,
        after_s: float = 0.0,
    ) -> Capture:
        """Capture from now on, for so long or until something is so; during a recording, its next samples.

        Where the analyzer runs already, what was on its way at this moment comes first: up to 0.1 s of before.

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
        with self._using(seconds) as (stream, start):
            samples = max(1, round(seconds * stream.samplerate))
            self._check_room(seconds, samples, stream)
            if not stream.wait_for(start + samples, seconds * 1.5 + self._patience_s):
                raise self._short(f"asked for {samples} samples ({seconds:g} s), got {stream.total - start}", stream)
            found = stream.capture(start, start + samples)
            if found is None or len(found) != samples:
                raise OverrunError(
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
                    for note in recording._end():
                        self._say(f"{self.board}: {note}")
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

    def console(self, channel: str | None = None, baudrate: int | None = None) -> AbstractContextManager[Console]:
        """``with logic.console() as seen:``: what a UART says on a channel, as it is sampled, while the block runs.

        It is a console like the fixture's, read only: ``seen.expect("…")``, ``seen.lines()``. The watched console goes
        on beside it, so that a test can assert that both agree.

        Args:
            channel: the analyzer's name of it, or the board's; without it, ``logic`` of ``[boards.NAME.console]``, or
                the channel called ``uart_tx``.
            baudrate: bits a second; without it, that of ``[boards.NAME.console]``, or 115200.

        Raises:
            MisuseError: no channel given, and ``boards.toml`` names none.
            LogicError: the analyzer could not be opened, has no such channel, or takes fewer than 8 samples a bit.
            HostError: this computer lacks what the driver needs.
        """
        from pytest_shepherd_hil.logic.console import channel_console

        named = self._console
        wanted = channel or (named.logic if named is not None else None)
        if wanted is None and CONSOLE_CHANNEL in self.config.channels.values():
            wanted = CONSOLE_CHANNEL
        if wanted is None:
            raise MisuseError(
                f"board {self.board}: logic.console(): give a channel, or name it in boards.toml as 'logic' in "
                f"[boards.{self.board}.console]"
            )
        return channel_console(self, wanted, baudrate or (named.baudrate if named is not None else 115200))

    def snapshot(self, until_ns: int | None = None, since_ns: int | None = None) -> Capture | None:
        """What the running capture or recording, or the last one, has so far; ``None`` where there was none.

        For evidence after a crash; from any thread, at any time.

        Args:
            until_ns: wait for samples taken until then, in ``time.monotonic_ns()``: they may still be on their
                way. Not for longer than that takes.
            since_ns: leave out what was taken before, where the host's time tells it; all of it is copied.
        """
        last = self._last
        if last is None:
            return None
        if until_ns is not None:
            # the clock can only be late, by as much as a block is at least
            wanted = last.clock.sample_at(until_ns + round(HOST_TIME_S * 1e9))
            last.wait_for(wanted, STREAM_DELAY_S + HOST_TIME_S)
        return last.capture(last.clock.sample_at(since_ns) if since_ns is not None else 0)

    def forget(self) -> None:
        """Let go of the last capture, so that :meth:`snapshot` brings up no earlier test's. One that runs stays.

        Where it should run all the time, but was lost, it is tried again.
        """
        lost = self._lost
        if lost is not None:
            self._tell(lost)
        kept = self._kept
        if kept is not None and kept.ended and (lost is None or time.monotonic() - self._kept_since > self.RETRY_S):
            self._keep()
        with self._lock:
            if self._running is None:
                self._last = None

    def close(self) -> None:
        """Stop what runs. What it brought is still there for :meth:`snapshot`."""
        lost = self._lost
        if lost is not None and not self._closed:
            self._tell(lost)
        with self._lock:
            self._closed = True
            stream = self._running
        if stream is not None:
            stream.stop()

    @contextmanager
    def _using(self, block_s: float | None = None) -> Iterator[tuple[Stream, int]]:
        """The running stream, or a new one, and the number of its next sample; it ends with its last user.

        Args:
            block_s: how many seconds of samples are wanted, where that is known before: a driver that does not stream
                can serve nobody else.
        """
        joined: list[Stream] = []  # filled within the lock: who is interrupted here is known to have joined
        try:
            stream, start = self._join(joined, block_s)
            stream.opened()
            yield stream, start
        finally:
            for each in joined:
                self._leave(each)

    def _join(self, joined: list[Stream] | None = None, block_s: float | None = None) -> tuple[Stream, int]:
        with self._lock:
            if self._closed:
                raise LogicError(f"board {self.board}: the logic analyzer has been closed")
            running = self._running
            opener = self._open if self._open_block is None else self._block_opener(block_s)
            if running is not None and not running.ended:
                running.users += 1
                if joined is not None:
                    joined.append(running)
                return running, running.total
            stream = Stream(self.config, self.board, opener, self._max_bytes)
            stream.users = 1
            self._running = self._last = stream
            if joined is not None:
                joined.append(stream)
            stream.start()
            return stream, 0

    def _block_opener(self, block_s: float | None) -> Callable[[], Acquisition]:
        """Opens a driver that takes one block of samples at a time."""
        open_block = self._open_block
        assert open_block is not None
        if block_s is None:
            raise MisuseError(
                f"board {self.board}: driver {self.config.driver} takes one block of samples at a time: use "
                "logic.capture(seconds=…); recordings and consoles need an analyzer that streams"
            )
        if self._running is not None:
            raise MisuseError(f"board {self.board}: a capture with driver {self.config.driver} is running already")
        samples = max(1, round(block_s * self.config.samplerate))
        return lambda: open_block(samples)

    def _leave(self, stream: Stream) -> None:
        with self._lock:
            stream.users -= 1
            idle = stream.users <= 0
            if idle and self._running is stream:
                self._running = None
        if idle:
            stream.stop()

    def _check_room(self, seconds: float, samples: int, stream: Stream) -> None:
        unitsize, room = stream.unitsize, stream.max_bytes or 0
        if samples * unitsize > room:
            most = room / unitsize / stream.samplerate
            raise MisuseError(
                f"board {self.board}: logic.capture(seconds={seconds:g}) at {stream.samplerate} Hz is more than the "
                f"{room / 2**20:.3g} MiB held in memory; capture {most:.3g} s at most, sample more slowly, or set "
                f"ring_mb or ring_s in [boards.{self.board}.logic]"
            )

    def _short(self, what: str, stream: Stream) -> HilError:
        if stream.error is not None:
            return type(stream.error)(f"{stream.error} (board {self.board}: {what})")
        return LogicError(
            f"board {self.board}: {what}; the analyzer's samples come too slowly or not at all: unplug it and plug it "
            "in again, or sample more slowly"
        )

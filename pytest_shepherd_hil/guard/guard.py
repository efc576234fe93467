"""One board's guard: the record of what happened in which test, and the decision what to do about it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.guard.attribution import Window, owner
from pytest_shepherd_hil.guard.foreign import is_of_another_boot
from pytest_shepherd_hil.kernel.incident import Incident, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.guard.expected import Expectation

__all__ = ["Guard"]


class Guard:
    """Keeps every incident and knows whose it is. The watch's thread tells, the test's thread asks.

    Args:
        log: the board's console.
        stop_test: called, in the watch's thread, with an incident that ends the running test.
        board_died: called, in the watch's thread, with an incident after which the board does not go on.
        kernel_now: tells between which two times the kernel's clock is now; None where nobody knows.
    """

    DISORDER_S = 1.5
    """By how much the kernel times of lines may be out of order within one boot, in seconds."""
    LINES_BEFORE = 8

    def __init__(
        self,
        log: ConsoleLog,
        *,
        stop_test: Callable[[Incident], None],
        board_died: Callable[[Incident], None],
        kernel_now: Callable[[], tuple[float, float] | None] = lambda: None,
    ) -> None:
        self._kernel_now = kernel_now
        self._log = log
        self._stop_test = stop_test
        self._board_died = board_died
        self._lock = threading.RLock()
        self._incidents: dict[int, Incident] = {}
        self._order: dict[int, int] = {}
        self._first_seen_s: dict[int, float | None] = {}
        self._windows: list[Window] = []
        self._own_ids = 0
        self._harmful: set[int] = set()
        self._harm: Incident | None = None
        self._harmed_in: Window | None = None
        self._deaths: set[int] = set()
        self._blamed: list[Window] = []
        self._owners: dict[int, Window | None] = {}
        self._boot = 0
        self._looked = 0
        self._healed_line = 0
        self._newest_s: float | None = None

    def begin(self, test: str, expectations: Sequence[Expectation], began_s: float | None = None) -> Window:
        """A test begins: whatever the console says from now on is said in its time.

        Args:
            began_s: kernel time before which nothing can be of this test, where it is known.
        """
        with self._lock:
            window = Window(test, self._log.count, time.monotonic_ns(), began_s=began_s, boot=self._boot)
            window.expectations = list(expectations)
            self._windows.append(window)
        return window

    def end(self, window: Window, end_line: int | None = None, ended_s: float | None = None) -> None:
        """A test has ended.

        Args:
            end_line: number of the first console line behind it; default: that of the next line.
            ended_s: kernel time from which on nothing can be of this test, where it is known.
        """
        with self._lock:
            window.end_line = max(self._log.count if end_line is None else end_line, window.first_line)
            window.ended_s = ended_s

    def expect(self, window: Window, expectation: Expectation) -> None:
        """From here on an incident is expected in a test that runs; it is asked before those expected already."""
        with self._lock:
            expectation.since_line = self._log.count
            window.expectations.insert(0, expectation)

    def close(self, expectation: Expectation) -> None:
        """Nothing more is expected of that kind."""
        with self._lock:
            expectation.closed = True

    def on_incident(self, incident: Incident) -> None:
        """Take note of an incident, or of more of one already known; stop the test that runs, if it must."""
        with self._lock:
            if self._is_replay(incident):
                return
            known = self._incidents.get(incident.id)
            self._order.setdefault(incident.id, len(self._order))
            self._incidents[incident.id] = incident
            self._note_harm(incident)
            window = self._owner(incident)
            if self._harmed_in is None and self._harm is not None and self._harm.id == incident.id:
                self._harmed_in = window
            expected = self._expected(window, incident)
            news = not incident.open and (known is None or known.open)
            died = incident.fatal and not incident.open and incident.id not in self._deaths
            if died:
                self._deaths.add(incident.id)
                self._new_boot()
                self._board_died(incident)  # before anybody is told that its report has ended
            last = self._windows[-1] if self._windows else None
        running = window is not None and window.end_line is None
        if died and not running and last is not None and last.end_line is None:
            self._stop_test(incident)  # it did not do it, but it cannot go on
        if running and (died or (news and incident.severity is Severity.FAIL and not expected)):
            self._stop_test(incident)

    def add(self, kind: str, title: str, *, fatal: bool, hint: str, lines: Sequence[str] = ()) -> Incident:
        """Take note of something that no line on the console says: that the console itself is gone, for example.

        Args:
            lines: what the kernel said when it was asked.
        """
        with self._lock:
            self._own_ids -= 1
            incident = Incident(
                id=self._own_ids,
                rule="guard",
                kind=kind,
                severity=Severity.FAIL,
                title=title,
                signature=kind,
                first_line=self._log.count,
                last_line=self._log.count,
                kernel_time_s=None,
                open=False,
                complete=True,
                fatal=fatal,
                hints=(hint,),
                lines=tuple(lines),
            )
        self.on_incident(incident)
        return incident

    def _is_replay(self, incident: Incident) -> bool:
        """Whether somebody shows a log of another boot, whose times are still to come in this one."""
        if incident.id in self._incidents or incident.kernel_time_s is None:
            return False
        if incident.id not in self._first_seen_s:  # later the board may have been restarted
            now = self._kernel_now()
            self._first_seen_s[incident.id] = now[1] if now is not None else None
        seen_s = self._first_seen_s[incident.id]
        if seen_s is None:
            return False
        lines = self._log.lines(max(incident.first_line - self.LINES_BEFORE, 0), incident.first_line)
        before = [line.kernel_time_s for line in lines if line.kernel_time_s is not None]
        # what has only begun and looks like it is looked at again when more of it has come
        return is_of_another_boot(incident, [incident.kernel_time_s] * 3 if incident.open else before, seen_s)

    def _owner(self, incident: Incident) -> Window | None:
        """Whose it is, decided once: when it is first seen."""
        if incident.id not in self._owners:
            trusted = self._trusted_time(incident)
            window = owner(self._windows, incident.first_line, trusted, self._boot) or self._still_harmed_in()
            self._owners[incident.id] = window
            if window is not None:
                if not window.incidents:
                    self._blamed.append(window)
                if window.judged and self._is_aftermath(window, incident.first_line):
                    window.judged.add(incident.id)
                window.incidents.add(incident.id)
        return self._owners[incident.id]

    def _still_harmed_in(self) -> Window | None:
        """The test that has ended and harmed the board, which has not been restarted since."""
        window = self._harmed_in
        if window is None or window.end_line is None or window is not self._windows[-1]:
            return None
        return window

    def _is_aftermath(self, window: Window, line: int) -> bool:
        """Whether it only adds to what a test has failed for."""
        if window is self._still_harmed_in():
            return window.end_line is not None and line >= window.end_line
        return window.over_line is not None and line >= window.over_line

    def _trusted_time(self, incident: Incident) -> float | None:
        """Its kernel time, unless time has gone back by more than two processors do: then it is another boot's."""
        newest_s = self._log.newest_time_s(self._looked, incident.first_line)
        if newest_s is not None:
            self._newest_s = max(self._newest_s or 0.0, newest_s)
        self._looked = max(self._looked, incident.first_line)
        time_s = incident.kernel_time_s
        if time_s is None or (self._newest_s is not None and time_s < self._newest_s - self.DISORDER_S):
            return None
        return time_s

    def _new_boot(self) -> None:
        """Kernel time begins again."""
        self._boot += 1
        self._looked = self._log.count
        self._newest_s = None

    @property
    def harm(self) -> Incident | None:
        """The newest incident that the board has not recovered from; None while it is healthy."""
        with self._lock:
            return self._harm

    def healed(self) -> None:
        """The board is being restarted: what has happened so far harms it no more."""
        with self._lock:
            self._harm = None
            self._healed_line = self._log.count
            window = self._still_harmed_in()
            if window is not None:
                window.over_line, window.end_line = window.end_line, max(window.end_line or 0, self._healed_line)
            self._harmed_in = None
            self._new_boot()
            for window in self._windows[-1:]:
                window.healed |= window.incidents

    def still_harmed(self, harm: Incident) -> None:
        """The board has not come back from that."""
        with self._lock:
            self._harm = self._harm or harm

    def restarted(self) -> None:
        """The board is being restarted on purpose: kernel time begins again."""
        with self._lock:
            self._new_boot()

    def _note_harm(self, incident: Incident) -> None:
        if incident.severity is not Severity.FAIL or (incident.id > 0 and incident.first_line < self._healed_line):
            return
        if incident.id not in self._harmful or (self._harm is not None and self._harm.id == incident.id):
            self._harmful.add(incident.id)
            self._harm = incident

    def expected_death(self, window: Window) -> bool:
        """Whether the board has died of something that the test expects, and is still dead."""
        with self._lock:
            gone = window.expected - window.healed
            return any(self._incidents[number].fatal for number in window.incidents & gone)

    def report_open(self, window: Window) -> bool:
        """Whether a report that began in this window is still being printed."""
        with self._lock:
            return any(self._incidents[number].open for number in window.incidents)

    def unexpected(self, window: Window) -> list[Incident]:
        """The incidents of a window that fail its test, in order; those named by an earlier verdict are left out."""
        with self._lock:
            return [
                incident
                for incident in self._in(window)
                if incident.severity is Severity.FAIL
                and incident.id not in window.judged
                and not self._expected(window, incident)
            ]

    def named(self, window: Window, incidents: Iterable[Incident]) -> None:
        """A verdict has named these incidents of a window."""
        with self._lock:
            window.judged.update(incident.id for incident in incidents)

    def incidents(self, window: Window) -> list[Incident]:
        """All incidents of a window, of any severity, expected or not, in order."""
        with self._lock:
            return self._in(window)

    def late(self) -> list[tuple[Window, list[Incident]]]:
        """The failing incidents, come whole, of tests that have ended which no verdict has named, by test."""
        with self._lock:
            ended = [window for window in self._blamed if window.end_line is not None]
            found = [(window, self.unexpected(window)) for window in ended]
            settled = [(window, [one for one in incidents if not one.open]) for window, incidents in found]
            return [(window, incidents) for window, incidents in settled if incidents]

    def strays(self) -> list[Incident]:
        """The failing incidents that no verdict has named: those before, between and after tests. To be asked when no
        test runs, after :meth:`late`."""
        with self._lock:
            told: set[int] = set()
            for window in self._blamed:
                told |= window.judged | window.expected
            found = [incident for incident in self._incidents.values() if incident.id not in told]
            return [incident for incident in found if incident.severity is Severity.FAIL]

    def nobodys(self) -> list[Incident]:
        """The failing incidents, come whole, that belong to no test."""
        with self._lock:
            return [one for one in self.strays() if not one.open and self._owners[one.id] is None]

    def warnings(self) -> list[Incident]:
        """What the console showed that is worth a word but fails nothing, in order."""
        with self._lock:
            return [incident for incident in self._incidents.values() if incident.severity is Severity.WARN]

    def _in(self, window: Window) -> list[Incident]:
        found = [self._incidents[number] for number in window.incidents]
        return sorted(found, key=lambda incident: (incident.first_line, self._order[incident.id]))

    @staticmethod
    def _expected(window: Window | None, incident: Incident) -> bool:
        if window is None or incident.open:
            return False
        return any(expectation.takes(incident) for expectation in window.expectations)

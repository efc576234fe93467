"""Which test an incident belongs to, whether it was expected, and what the guard does about it."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import pytest

from pytest_shepherd_hil.console.lines import ConsoleLine
from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.errors import ShellError
from pytest_shepherd_hil.guard.attribution import Window, owner
from pytest_shepherd_hil.guard.expected import Expectation
from pytest_shepherd_hil.guard.fence import Fences
from pytest_shepherd_hil.guard.foreign import is_of_another_boot
from pytest_shepherd_hil.guard.guard import Guard
from pytest_shepherd_hil.kernel.incident import Incident, Severity
from pytest_shepherd_hil.kernel.lines import parse_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.guard.kmsg import KmsgWriter


def incident(number: int = 1, kind: str = "oops", line: int = 0, **more: object) -> Incident:
    plain = Incident(
        id=number,
        rule=kind,
        kind=kind,
        severity=Severity.FAIL,
        title=f"{kind} {number}",
        signature=kind,
        first_line=line,
        last_line=line,
        kernel_time_s=None,
        open=False,
        complete=True,
        fatal=False,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def window(test: str, first: int, end: int | None) -> Window:
    return Window(test, first, 0, end)


# is it of this boot at all?


@pytest.mark.parametrize(
    ("times", "before", "shown"),
    [
        ([942.5, 942.6, 942.7], [], True),
        ([942.5], [942.1, 942.2, 942.3], True),
        ([942.5], [9.0, 942.2, 942.3], False),  # what came before is live
        ([942.5], [], False),  # a damaged time, perhaps
        ([942.5, 10.1, 10.2], [9.0, 9.1], False),
        ([9.0, 9.1, 9.2], [8.0], False),
        ([11.5, 11.6, 11.7], [], False),  # clocks differ
    ],
)
def test_a_report_of_another_boot_has_only_times_that_this_one_has_not_reached(
    times: list[float], before: list[float], shown: bool
) -> None:
    lines = tuple(f"[{time_s:12.6f}] Internal error: Oops" for time_s in times)
    found = incident(kernel_time_s=times[0], lines=lines)
    assert is_of_another_boot(found, before, now_s=10.0) is shown


# whose line is it?


@pytest.mark.parametrize(
    ("line", "test"),
    [(0, None), (9, None), (10, "a"), (19, "a"), (20, None), (24, None), (25, "b"), (29, "b"), (30, "c"), (99, "c")],
)
def test_a_line_belongs_to_the_window_it_was_printed_in(line: int, test: str | None) -> None:
    windows = [window("a", 10, 20), window("b", 25, 30), window("c", 30, None)]
    found = owner(windows, line)
    assert (found.test if found else None) == test


def test_before_any_test_a_line_is_nobodys() -> None:
    assert owner([], 0) is None


def test_of_tests_that_said_nothing_only_the_last_can_own_the_next_line() -> None:
    windows = [window("silent", 5, 5), window("silent too", 5, 5), window("running", 5, None)]
    found = owner(windows, 5)
    assert found is not None
    assert found.test == "running"
    assert owner(windows[:2], 5) is None


# was it expected?


def test_an_expectation_takes_its_kind_and_no_other() -> None:
    expectation = Expectation("oops")
    assert not expectation.takes(incident(1, "warning"))
    assert expectation.missing == 1
    assert expectation.takes(incident(2, "oops"))
    assert expectation.missing == 0


def test_an_expected_panic_is_any_fatal_incident() -> None:
    assert Expectation("panic").takes(incident(kind="oops", fatal=True))
    assert Expectation("panic").takes(incident(kind="panic"))
    assert not Expectation("panic").takes(incident(kind="oops", fatal=False))
    assert not Expectation("oops").takes(incident(kind="panic", fatal=True))


def test_an_expectation_may_name_the_function() -> None:
    expectation = Expectation("oops", function="pru0_comm_receive_msg")
    assert not expectation.takes(incident(1, function="memcpy"))
    assert not expectation.takes(incident(2, function=None))
    assert expectation.takes(incident(3, function="pru0_comm_receive_msg"))


def test_an_expectation_may_match_the_headline() -> None:
    expectation = Expectation("oops", match=r"at 0x1c1\b")
    assert not expectation.takes(incident(1, title="kernel oops: NULL pointer dereference at 0x1c10"))
    assert expectation.takes(incident(2, title="kernel oops: NULL pointer dereference at 0x1c1 in f"))


def test_an_expectation_takes_as_many_as_it_says_and_one_more_is_too_many() -> None:
    expectation = Expectation("oops", count=2)
    assert [expectation.takes(incident(number)) for number in (1, 2, 3)] == [True, True, False]
    assert expectation.missing == 0


def test_the_same_incident_again_is_not_one_more() -> None:
    expectation = Expectation("oops", count=2)
    assert expectation.takes(incident(1))
    assert expectation.takes(incident(1, title="amended"))
    assert expectation.missing == 1


def test_an_expectation_says_in_words_what_it_is() -> None:
    assert str(Expectation("oops")) == "1 of oops"
    assert str(Expectation("oops", "f", "x+", 2)) == "2 of oops in f matching 'x+'"


# the guard's record


@dataclass
class Record:
    """A guard and what it has done."""

    log: ConsoleLog = field(default_factory=ConsoleLog)
    stopped: list[str] = field(default_factory=list)
    died: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.guard = Guard(
            self.log,
            stop_test=lambda incident: self.stopped.append(incident.title),
            board_died=lambda incident: self.died.append(incident.title),
        )

    def lines(self, count: int) -> None:
        self.log.append(b"x\n" * count, 1)

    def titles(self, window: Window) -> list[str]:
        return [found.title for found in self.guard.unexpected(window)]


def test_a_failing_incident_stops_the_test_that_runs() -> None:
    record = Record()
    window = record.guard.begin("t", [])
    record.guard.on_incident(incident(1))
    assert record.stopped == ["oops 1"]
    assert record.died == []
    assert record.titles(window) == ["oops 1"]


def test_a_report_stops_the_test_once_when_it_is_complete() -> None:
    record = Record()
    window = record.guard.begin("t", [])
    record.guard.on_incident(incident(1, title="kernel oops", open=True))
    assert record.stopped == []
    assert record.guard.report_open(window)
    record.guard.on_incident(incident(1, title="kernel oops in f"))
    record.guard.on_incident(incident(1, title="kernel oops in f, seen again"))
    assert record.stopped == ["kernel oops in f"]
    assert not record.guard.report_open(window)
    assert record.titles(window) == ["kernel oops in f, seen again"]


def test_an_amended_incident_that_turned_out_fatal_kills_the_board_once() -> None:
    record = Record()
    record.guard.begin("t", [])
    record.guard.on_incident(incident(1))
    record.guard.on_incident(incident(1, title="kernel oops, then panic", fatal=True))
    record.guard.on_incident(incident(1, title="kernel oops, then panic, then reboot", fatal=True))
    assert record.died == ["kernel oops, then panic"]
    assert record.stopped == ["oops 1", "kernel oops, then panic"]


def test_a_fatal_report_kills_the_board_only_when_all_of_it_has_come() -> None:
    record = Record()
    record.guard.begin("t", [])
    record.guard.on_incident(incident(1, fatal=True, open=True))
    assert (record.died, record.stopped) == ([], [])
    record.guard.on_incident(incident(1, fatal=True))
    assert (record.died, record.stopped) == (["oops 1"], ["oops 1"])


@pytest.mark.parametrize("severity", [Severity.WARN, Severity.INFO])
def test_what_does_not_fail_does_not_stop(severity: Severity) -> None:
    record = Record()
    window = record.guard.begin("t", [])
    record.guard.on_incident(incident(1, severity=severity))
    assert record.stopped == []
    assert record.titles(window) == []
    assert record.guard.unexpected(window) == []
    assert [found.id for found in record.guard.incidents(window)] == [1]
    assert [found.id for found in record.guard.warnings()] == ([1] if severity is Severity.WARN else [])


def test_an_expected_incident_does_not_stop_the_test() -> None:
    record = Record()
    window = record.guard.begin("t", [Expectation("oops")])
    record.guard.on_incident(incident(1, open=True))
    record.guard.on_incident(incident(1))
    assert record.stopped == []
    assert record.titles(window) == []
    record.guard.on_incident(incident(2))
    assert record.stopped == ["oops 2"]
    assert record.titles(window) == ["oops 2"]


def test_an_expected_fatal_incident_stops_the_test_and_does_not_fail_it() -> None:
    record = Record()
    window = record.guard.begin("t", [Expectation("panic")])
    record.guard.on_incident(incident(1, fatal=True))
    assert record.stopped == ["oops 1"]
    assert record.died == ["oops 1"]
    assert record.titles(window) == []


def test_an_incident_between_two_tests_is_a_stray_and_stops_nobody() -> None:
    record = Record()
    first = record.guard.begin("first", [])
    record.lines(3)
    record.guard.end(first)
    record.lines(2)
    second = record.guard.begin("second", [])
    record.guard.on_incident(incident(1, line=4))
    record.guard.on_incident(incident(2, line=4, severity=Severity.WARN))
    assert record.stopped == []
    assert record.titles(first) == record.titles(second) == []
    assert [found.id for found in record.guard.strays()] == [1]


def test_an_incident_that_is_judged_late_is_still_the_earlier_tests() -> None:
    record = Record()
    first = record.guard.begin("first", [])
    record.lines(3)
    record.guard.end(first)
    second = record.guard.begin("second", [])
    record.guard.on_incident(incident(1, line=2))
    assert record.stopped == []
    assert (record.titles(first), record.titles(second)) == (["oops 1"], [])
    assert [found.id for found in record.guard.strays()] == [1], "no verdict has named it yet"
    record.guard.named(first, record.guard.unexpected(first))
    assert record.guard.strays() == []


def test_an_expected_incident_is_no_stray() -> None:
    record = Record()
    window = record.guard.begin("t", [Expectation("oops")])
    record.guard.on_incident(incident(1))
    record.guard.on_incident(incident(2, kind="warning"))
    record.guard.end(window)
    assert [found.id for found in record.guard.strays()] == [2]


def test_a_board_is_harmed_by_the_newest_failure_until_it_is_healed() -> None:
    record = Record()
    assert record.guard.harm is None
    record.guard.on_incident(incident(1, severity=Severity.WARN))
    assert record.guard.harm is None
    record.guard.on_incident(incident(2))
    record.guard.on_incident(incident(2, title="amended"))
    assert record.guard.harm is not None
    assert record.guard.harm.title == "amended"
    record.guard.healed()
    record.guard.on_incident(incident(2, title="amended by the boot that healed it"))
    assert record.guard.harm is None
    record.guard.on_incident(incident(3))
    assert record.guard.harm is not None


def test_what_a_harmed_board_says_until_its_restart_only_adds_to_the_test_that_failed() -> None:
    record = Record()
    window = record.guard.begin("guilty", [])
    record.guard.on_incident(incident(1))
    record.guard.named(window, record.guard.unexpected(window))
    record.lines(3)
    record.guard.end(window)
    record.lines(1)
    record.guard.on_incident(incident(2, line=3))
    record.lines(1)
    record.guard.healed()
    record.guard.on_incident(incident(3, line=4))  # judged after the restart, said before it
    record.lines(1)
    record.guard.on_incident(incident(4, line=5))
    assert [one.id for one in record.guard.incidents(window)] == [1, 2, 3]
    assert (window.over_line, window.end_line) == (3, 5)
    assert record.guard.late() == []
    assert [one.id for one in record.guard.strays()] == [4]


def test_what_a_board_says_after_an_expected_death_is_one_incident_too_many() -> None:
    record = Record()
    window = record.guard.begin("t", [Expectation("panic")])
    record.guard.on_incident(incident(1, fatal=True))
    record.lines(3)
    record.guard.end(window)
    record.guard.on_incident(incident(2, line=3))
    assert [(late.test, [one.id for one in found]) for late, found in record.guard.late()] == [("t", [2])]


def test_a_later_test_bears_nothing_of_what_harmed_the_board_before() -> None:
    record = Record()
    guilty = record.guard.begin("guilty", [])
    record.guard.on_incident(incident(1))
    record.guard.end(guilty)
    record.lines(2)
    innocent = record.guard.begin("innocent", [])
    record.lines(2)
    record.guard.end(innocent)
    record.guard.on_incident(incident(2, line=4))
    assert [one.id for one in record.guard.nobodys()] == [2]


def test_a_log_of_another_boot_harms_nobody_also_where_it_ends_during_a_restart() -> None:
    record = Record()
    clock: list[tuple[float, float] | None] = [(9.9, 10.0)]
    guard = Guard(record.log, stop_test=lambda _: None, board_died=lambda _: None, kernel_now=lambda: clock[0])
    window = guard.begin("t", [])
    lines = tuple(f"[{942.5 + number / 10:12.6f}] of an old Oops" for number in range(4))
    guard.on_incident(incident(1, kernel_time_s=942.5, lines=lines[:1], open=True))
    record.lines(4)
    guard.healed()
    clock[0] = None
    guard.on_incident(incident(1, kernel_time_s=942.5, lines=lines))
    assert guard.harm is None
    assert guard.incidents(window) == []
    guard.on_incident(incident(2, kernel_time_s=None, line=2))  # begun before the restart, told after it
    assert guard.harm is None
    guard.on_incident(incident(3, kernel_time_s=None, line=4))
    assert guard.harm is not None


def test_a_fatal_stray_kills_the_board() -> None:
    record = Record()
    record.guard.on_incident(incident(1, fatal=True))
    assert (record.died, record.stopped) == (["oops 1"], [])


def test_a_window_ends_where_its_fence_came_out_and_never_before_it_began() -> None:
    record = Record()
    record.lines(10)
    window = record.guard.begin("t", [])
    record.lines(5)
    record.guard.end(window, 12)
    assert (window.first_line, window.end_line) == (10, 12)
    record.guard.end(window, 3)
    assert window.end_line == 10


def test_a_verdict_names_each_incident_once() -> None:
    record = Record()
    window = record.guard.begin("t", [])
    record.guard.on_incident(incident(2, line=5))
    record.guard.on_incident(incident(1, line=1))
    found = record.guard.unexpected(window)
    assert [one.id for one in found] == [1, 2]
    assert record.guard.unexpected(window) == found, "no verdict has named them yet"
    record.guard.named(window, found)
    assert record.guard.unexpected(window) == []
    record.guard.on_incident(incident(3, line=7))
    assert [one.id for one in record.guard.unexpected(window)] == [3]
    assert [found.id for found in record.guard.incidents(window)] == [1, 2, 3]


def test_a_lost_console_is_an_incident_that_no_line_tells_of() -> None:
    record = Record()
    window = record.guard.begin("t", [])
    record.lines(4)
    first = record.guard.add("console-lost", "console lost: unplugged", fatal=True, hint="look at the plug")
    second = record.guard.add("console-lost", "console lost: again", fatal=False, hint="look again")
    assert (first.kind, first.first_line, first.hints) == ("console-lost", 4, ("look at the plug",))
    assert first.id < 0
    assert second.id < 0
    assert first.id != second.id
    assert record.titles(window) == ["console lost: unplugged", "console lost: again"]
    assert record.died == ["console lost: unplugged"]
    assert record.stopped == ["console lost: unplugged", "console lost: again"]


# fences


class Kmsg:
    """In place of a board's ``/dev/kmsg``: what is written comes out of the console ``log``, as told."""

    def __init__(self, log: ConsoleLog, told: Callable[[ConsoleLine], object] | None, message: str = "{}") -> None:
        self.log = log
        self.told = told
        self.message = message
        self.written: list[str] = []

    def write(self, text: str, timeout_s: float = 10.0) -> str:
        assert timeout_s > 0
        self.written.append(text)
        if self.told is not None:
            text = text.partition(">")[2]
            for line in self.log.append(f"[    9.000001] {self.message.format(text)}\n".encode(), 1):
                self.told(line)
        return "0b1d-1"


def fences(log: ConsoleLog, message: str | None = "{}") -> tuple[Fences, Kmsg]:
    shell = Kmsg(log, None, message or "")
    found = Fences(cast("KmsgWriter", shell), log, "c0ffee")
    if message is not None:
        shell.told = found.on_line
    return found, shell


def test_a_fence_that_comes_out_gives_the_line_behind_it() -> None:
    log = ConsoleLog()
    crossing, shell = fences(log)
    log.append(b"one\ntwo\n", 1)
    assert crossing.cross(lambda: False) == 3
    assert crossing.cross(lambda: False) == 4
    assert shell.written == ["<3>hil: fence c0ffee-1", "<3>hil: fence c0ffee-2"]
    assert crossing.boot_id == "0b1d-1"


def test_a_fence_that_does_not_come_out_is_given_up_after_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fences, "SILENCE_S", 0.05)
    crossing, _ = fences(ConsoleLog(), message=None)
    assert crossing.cross(lambda: False) is None


def test_a_fence_is_not_waited_for_once_the_board_is_dead() -> None:
    crossing, _ = fences(ConsoleLog(), message=None)
    dead = threading.Event()
    crossed: queue.Queue[int | None] = queue.Queue()
    waiter = threading.Thread(target=lambda: crossed.put(crossing.cross(dead.is_set)))
    waiter.start()
    dead.set()
    crossing.wake()
    assert crossed.get(timeout=Fences.SILENCE_S / 2) is None
    waiter.join()


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ("[   12.345678] hil: fence c0ffee-1", True),
        ("hil: fence c0ffee-1", True),
        ("<3>[   12.345678] hil: fence c0ffee-1", True),
        ("bbb01 login: [   12.345678] hil: fence c0ffee-1", True),
        ("root@bbb01:~# ls[   12.345678] hil: fence c0ffee-1", True),
        ("[   12.345678] hil: fence c0ffee-1 root@bbb01:~#", True),
        ("root@bbb01:~# echo '<3>hil: fence c0ffee-1' > /dev/kmsg", False),
        ("root@bbb01:~# echo '<3>hil: fence c0ffee-1", False),
        ("root@bbb01:~# echo 'hil: fence c0ffee-1' > /dev/kmsg", False),
        ("sudo: root : COMMAND=/bin/sh -c echo '<3>hil: fence c0ffee-1' > /dev/kmsg", False),
        ("[   12.345678] hil: fence c0ffee-12", False),
        ("[   12.345678] hil: fence c0ffee-", False),
        ("[   12.345678] hil: fence decaf-1", False),
        ("[   12.345678] hil: fenc", False),
    ],
)
def test_only_what_the_kernel_printed_is_a_fence(text: str, out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fences, "SILENCE_S", 0.01)
    log = ConsoleLog()
    crossing, _ = fences(log, message=None)
    crossing.on_line(ConsoleLine(parse_line(text.encode(), 6), text.encode(), 1, 0))
    assert crossing.cross(lambda: False) == (7 if out else None)


def test_a_fence_tells_the_kernels_time_when_it_comes_out_and_not_when_its_log_is_shown_again() -> None:
    crossing, _ = fences(ConsoleLog(), message=None)

    def told(text: str) -> float | None:
        return crossing.on_line(ConsoleLine(parse_line(text.encode(), 6), text.encode(), 1, 0))

    assert told("[    7.000000] hil: fence c0ffee-1") == 7.0
    assert told("[    0.044043] CPU: 0 PID: 1[    8.366504] hil: fence c0ffee-3") == 8.366504
    assert told("[    7.000000] hil: fence c0ffee-1") is None
    assert told("[    8.366504] hil: fence c0ffee-3") is None
    assert told("[    9.000000] usb 1-1: new device") is None


def test_a_nudge_never_fails_and_never_takes_longer_than_it_may() -> None:
    times: list[float] = []

    class Broken:
        def write(self, line: str, timeout_s: float) -> str:
            assert line.startswith("<7>")
            times.append(timeout_s)
            raise ShellError("no route to host")

    crossing = Fences(cast("KmsgWriter", Broken()), ConsoleLog(), "x")
    crossing.nudge()
    crossing.nudge(0.2)
    crossing.nudge(60)
    assert times == [5.0, 0.2, 5.0]

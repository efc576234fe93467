"""The thread that reads a console and has every line judged."""

from __future__ import annotations

import queue
import re
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.console.watch import Watch
from tests.unit.kernel.kernel_console import OOPS_6_1
from tests.unit.uart import WAIT_S, WatchedUart, open_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.kernel.incident import Incident

HALF_A_REPORT = "\n".join(OOPS_6_1.splitlines()[:8]) + "\n"
BOOT = "[    0.000000] Booting Linux on physical CPU 0x0\n"


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedUart]:
    monkeypatch.setattr(Watch, "CUT_S", 0.4)
    monkeypatch.setattr(Watch, "SETTLE_S", 0.2)
    board = WatchedUart()
    yield board
    board.close()


def closed(board: WatchedUart) -> Incident:
    """The next incident whose report is over."""
    while (incident := board.incidents.get(timeout=WAIT_S)).open:
        pass
    return incident


def test_every_line_is_recorded_and_told_in_order(board: WatchedUart) -> None:
    board.say("".join(f"[    1.{number:06d}] hil: line {number}\r\n" for number in range(500)))
    told = [board.lines.get(timeout=WAIT_S) for _ in range(500)]
    assert [line.number for line in told] == list(range(500))
    assert told == board.log.lines()
    assert told[-1].message == "hil: line 499"
    assert abs(told[-1].time_ns - time.monotonic_ns()) < WAIT_S * 1e9


def test_in_a_flood_every_line_is_recorded_and_an_incident_is_found_in_its_place(board: WatchedUart) -> None:
    flood = [f"[    1.{number:06d}] usb 1-1: device number {number}\r\n" for number in range(9000)]
    flood[6000] = "[    1.006000] shprd.k: mem corruption?\r\n"
    board.say("".join(flood) + "[    1.009000] hil: over\r\n")
    while board.lines.get(timeout=WAIT_S).message != "hil: over":
        pass
    incident = board.incidents.get_nowait()
    assert (incident.title, incident.first_line) == ("shepherd: mem corruption?", 6000)
    assert board.incidents.empty()
    assert [line.text + "\r\n" for line in board.log.lines()][:-1] == flood


def test_a_line_is_told_after_it_has_been_judged(board: WatchedUart) -> None:
    for line in OOPS_6_1.splitlines():
        board.say(line + "\n")
        board.lines.get(timeout=WAIT_S)
        if "Internal error" in line:
            assert board.incidents.get_nowait().kind == "oops"
            return


def test_a_whole_panic_is_one_fatal_incident(board: WatchedUart) -> None:
    board.say(OOPS_6_1.replace("\n", "\r\n"))
    assert board.incidents.get(timeout=WAIT_S).open
    incident = closed(board)
    assert (incident.kind, incident.fatal, incident.complete) == ("oops", True, True)
    assert incident.function == "pru0_comm_receive_msg"
    assert board.incidents.empty()


def test_half_a_report_and_then_silence_is_handed_on_as_cut(board: WatchedUart) -> None:
    started = time.monotonic()
    board.said(HALF_A_REPORT)
    assert board.incidents.get(timeout=WAIT_S).open
    incident = closed(board)
    assert (incident.kind, incident.complete) == ("oops", False)
    assert incident.function == "pru0_comm_receive_msg"
    assert 0.4 <= time.monotonic() - started < 5
    assert board.incidents.empty()


def test_the_half_line_at_which_a_report_was_cut_is_part_of_it(board: WatchedUart) -> None:
    board.said(HALF_A_REPORT)
    board.say("[   61.102900] LR is at coordinator_callback+0x2c/0x80 [shep")
    incident = closed(board)
    assert not incident.complete
    assert any("coordinator_callback" in line for line in incident.lines)


def test_an_unplugged_console_is_told_once_after_what_it_had_said(board: WatchedUart) -> None:
    board.said(HALF_A_REPORT)
    board.uart.unplug()
    lost = board.lost.get(timeout=WAIT_S)
    assert str(lost).startswith(f"board b: console {board.uart.path} is gone: ")
    assert not closed(board).complete
    board.watch.stop()
    assert not board.watch.alive
    with pytest.raises(queue.Empty):
        board.lost.get_nowait()


def test_a_boot_that_nobody_announced_is_an_incident(board: WatchedUart) -> None:
    board.said("[   10.000000] running\n" + BOOT)
    assert board.incidents.get_nowait().kind == "unexpected-reboot"


def test_a_boot_that_was_announced_is_none(board: WatchedUart) -> None:
    board.said("[   10.000000] running\n")
    board.watch.new_epoch()
    board.said(BOOT)
    with pytest.raises(queue.Empty):
        board.incidents.get_nowait()
    board.said("[   10.000000] running\n" + BOOT)
    assert board.incidents.get_nowait().kind == "unexpected-reboot"


def test_a_new_epoch_closes_the_report_of_the_old_one(board: WatchedUart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "CUT_S", 60.0)
    board.said(HALF_A_REPORT)
    board.watch.new_epoch()
    assert not closed(board).complete


def test_a_stopped_watch_ends_at_once_and_calls_nobody(board: WatchedUart) -> None:
    started = time.monotonic()
    board.watch.stop()
    assert not board.watch.alive
    assert time.monotonic() - started < Watch.IDLE_S / 2
    board.watch.stop()
    with pytest.raises(queue.Empty):
        board.lost.get_nowait()


def test_a_watch_leaves_no_thread_and_nothing_open() -> None:
    before, threads = open_files(), threading.active_count()
    for _ in range(3):
        board = WatchedUart()
        board.said("hello\r\n")
        board.close()
    assert open_files() == before
    assert threading.active_count() == threads


def test_an_idle_watch_does_not_poll(board: WatchedUart) -> None:
    board.said("hello\r\n")
    thread = next(thread for thread in threading.enumerate() if thread.name == "hil-watch")
    status = Path(f"/proc/self/task/{thread.native_id}/status")

    def woken() -> int:
        """How often the thread has gone to sleep so far, by the kernel's own account."""
        found = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1])

    before = woken()
    thread.join(1.2)
    assert woken() - before < 20

"""What a test does with a console, over a real pty, a real serial port and the watch's own thread."""

from __future__ import annotations

import queue
import re
import time
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.console.console import Console
from pytest_shepherd_hil.errors import BoardDeadError, ConsoleError
from tests.unit.uart import WAIT_S, WatchedUart, open_files, soon

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def board() -> Iterator[WatchedUart]:
    board = WatchedUart()
    yield board
    board.close()


def test_expect_returns_the_match_with_its_groups(board: WatchedUart) -> None:
    console = board.console()
    board.say("[    1.500000] remoteproc remoteproc1: 4a334000.pru is available\r\n")
    match = console.expect(r"remoteproc(\d): (\S+) is available$", timeout_s=WAIT_S)
    assert match.groups() == ("1", "4a334000.pru")


def test_expect_waits_for_what_comes_later(board: WatchedUart) -> None:
    console = board.console()
    timer = soon(lambda: board.say("late\r\n"))
    assert console.expect("^late$", timeout_s=WAIT_S)[0] == "late"
    timer.join()


def test_expect_takes_a_compiled_pattern(board: WatchedUart) -> None:
    console = board.console()
    board.say("READY\r\n")
    assert console.expect(re.compile("ready", re.IGNORECASE), timeout_s=WAIT_S)[0] == "READY"


def test_expect_finds_a_prompt_that_has_no_line_end(board: WatchedUart) -> None:
    console = board.console()
    board.say("\r\nbbb01 login: ")
    assert console.expect(r"^(\w+) login: $", timeout_s=WAIT_S)[1] == "bbb01"


def test_expect_finds_a_pattern_over_several_lines(board: WatchedUart) -> None:
    console = board.console()
    board.say("root\r\nPassword:\r\nwelcome\r\n")
    console.expect(r"root\nPassword:\nwelcome", timeout_s=WAIT_S)


def test_each_expect_goes_on_behind_the_last(board: WatchedUart) -> None:
    console = board.console()
    board.said("cycle 1\r\ncycle 2\r\n")
    assert console.expect(r"cycle (\d)", timeout_s=WAIT_S)[1] == "1"
    assert console.expect(r"cycle (\d)", timeout_s=WAIT_S)[1] == "2"
    with pytest.raises(ConsoleError):
        console.expect(r"cycle (\d)", timeout_s=0.05)


def test_an_expect_that_failed_leaves_the_next_one_everything(board: WatchedUart) -> None:
    console = board.console()
    board.said("one\r\ntwo\r\n")
    with pytest.raises(ConsoleError):
        console.expect("three", timeout_s=0.05)
    console.expect("one", timeout_s=WAIT_S)


def test_two_views_have_their_own_cursors(board: WatchedUart) -> None:
    first = board.console()
    board.said("early\r\n")
    second = board.console()
    board.said("both\r\n")
    second.expect("both", timeout_s=WAIT_S)
    first.expect("early", timeout_s=WAIT_S)
    first.expect("both", timeout_s=WAIT_S)
    with pytest.raises(ConsoleError):
        second.expect("early", timeout_s=0.05)
    assert [line.text.rstrip() for line in first.lines()] == ["early", "both"]
    assert [str(line).rstrip() for line in second.lines()] == ["both"]
    assert [line.text for line in second.lines(since=0)] == ["early", "both"]


def test_the_kernel_time_is_the_consoles_newest(board: WatchedUart) -> None:
    console = board.console()
    assert console.kernel_time is None
    board.said("[   42.000001] hello\r\nno time\r\n")
    assert console.kernel_time == 42.000001


# what did not come


def test_a_timeout_shows_the_last_lines_and_the_unfinished_one(board: WatchedUart) -> None:
    console = board.console()
    board.said("".join(f"line {number}\r\n" for number in range(15)))
    other = board.console()
    board.say("bbb01 login: ")
    other.expect("login: ", timeout_s=WAIT_S)
    with pytest.raises(ConsoleError) as caught:
        console.expect("root@bbb01", timeout_s=0.05)
    assert str(caught.value).splitlines() == [
        "board b: 'root@bbb01' did not come out of the console within 0.05 s; the last lines are:",
        *(f"  | line {number}" for number in range(5, 15)),
        "  | bbb01 login: ",
    ]


def test_a_timeout_shows_hostile_lines_harmlessly(board: WatchedUart) -> None:
    console = board.console()
    board.said("\x1b[2J\x1b[31mred\x07\r\n")
    with pytest.raises(ConsoleError) as caught:
        console.expect("never", timeout_s=0.05)
    assert str(caught.value).splitlines()[1:] == [r"  | red\x07"]


def test_a_console_that_never_spoke_points_to_the_wire(board: WatchedUart) -> None:
    with pytest.raises(ConsoleError, match=r"has not said a single byte .* check the wire \(RX to pin 5 of J1\)"):
        board.console().expect("login", timeout_s=0.05)


def test_a_console_that_fell_silent_says_since_when(board: WatchedUart) -> None:
    board.said("before the view\r\n")
    with pytest.raises(ConsoleError, match=r"nothing came at all, its last byte is \d\.\d s old"):
        board.console().expect("login", timeout_s=0.05)


def test_expect_ends_in_its_time_though_the_console_talks_on(board: WatchedUart) -> None:
    console = board.console()
    stop = time.monotonic() + 2
    started = time.monotonic()

    def chatter() -> None:
        while time.monotonic() < stop and not done:
            board.said("chatter\r\n")

    done: list[bool] = []
    timer = soon(chatter)
    with pytest.raises(ConsoleError):
        console.expect("never", timeout_s=0.3)
    took_s = time.monotonic() - started
    done.append(True)
    timer.join()
    assert 0.3 <= took_s < 1.5


# a board that died


def test_a_board_that_dies_ends_an_expect_at_once(board: WatchedUart) -> None:
    console = board.console()
    started = time.monotonic()
    timer = soon(lambda: board.dies("kernel panic: Fatal exception in interrupt"))
    with pytest.raises(
        BoardDeadError, match=r"'never' will not come out of the console: kernel panic: Fatal exception"
    ):
        console.expect("never", timeout_s=60)
    timer.join()
    assert time.monotonic() - started < 5


def test_the_last_words_of_a_dead_board_can_still_be_expected(board: WatchedUart) -> None:
    console = board.console()
    board.said("last words\r\n")
    board.dies("kernel panic")
    console.expect("last words", timeout_s=1)


def test_nothing_is_sent_to_a_dead_board(board: WatchedUart) -> None:
    console = board.console()
    board.dies("kernel panic")
    with pytest.raises(BoardDeadError, match="board b: cannot send: kernel panic"):
        console.send("x")
    with pytest.raises(BoardDeadError, match="board b: cannot send a BREAK: kernel panic"):
        console.send_break()


# a kernel that keeps a line back


def test_expect_nudges_the_kernel_while_it_waits(board: WatchedUart) -> None:
    limits: list[float] = []

    def nudge(timeout_s: float) -> None:
        limits.append(timeout_s)
        board.say("kept back\r\nhil: flush\r\n")

    console = board.console(nudge)
    console.expect("kept back", timeout_s=WAIT_S)
    assert len(limits) == 1
    assert 0 < limits[0] < WAIT_S


def test_expect_goes_on_nudging(board: WatchedUart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Console, "NUDGE_AFTER_S", 0.01)
    monkeypatch.setattr(Console, "NUDGE_EVERY_S", 0.02)
    nudges: list[float] = []

    def nudge(timeout_s: float) -> None:
        nudges.append(timeout_s)
        if len(nudges) == 3:
            board.say("third\r\n")

    board.console(nudge).expect("third", timeout_s=WAIT_S)


def test_what_is_there_already_needs_no_nudge(board: WatchedUart) -> None:
    nudges: list[float] = []
    console = board.console(nudges.append)
    board.said("there\r\n")
    console.expect("there", timeout_s=WAIT_S)
    assert nudges == []


# sending


def test_text_is_sent_as_utf8_and_bytes_as_they_are(board: WatchedUart) -> None:
    console = board.console()
    console.send("écho\n")
    console.send(b"\x03\xff")
    assert board.uart.heard(8) == "écho\n".encode() + b"\x03\xff"


def test_a_break_goes_through_the_break_sender_where_there_is_one() -> None:
    breaks: list[str] = []
    board = WatchedUart(break_sender=lambda: breaks.append("BREAK"))
    board.console().send_break()
    assert breaks == ["BREAK"]
    board.close()


def test_sending_to_an_unplugged_board_says_that_it_is_gone(board: WatchedUart) -> None:
    console = board.console()
    board.uart.unplug()
    board.lost.get(timeout=WAIT_S)
    with pytest.raises(ConsoleError, match=rf"board b: console {board.uart.path} is gone: .*\(unplugged\?\)"):
        console.send("x")


# nothing left behind


def test_expect_leaves_nothing_open(board: WatchedUart) -> None:
    console = board.console()
    with pytest.raises(ConsoleError):
        console.expect("never", timeout_s=0.01)
    before = open_files()  # with what the log keeps for the next who waits, until it is closed
    board.said("found\r\n")
    console.expect("found", timeout_s=WAIT_S)
    with pytest.raises(ConsoleError):
        console.expect("never", timeout_s=0.01)
    board.dies("gone")
    with pytest.raises(BoardDeadError):
        console.expect("never", timeout_s=WAIT_S)
    with pytest.raises(queue.Empty):
        board.lost.get_nowait()
    assert open_files() == before

"""The record of a console: lines, bytes, times, the file on disk, and the search in it."""

from __future__ import annotations

import errno
import os
import re
import resource
import select
import signal
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_shepherd_hil.console.log import ConsoleLog, Wakeup
from pytest_shepherd_hil.console.transcript import Transcript
from pytest_shepherd_hil.kernel.lines import MAX_LINE_BYTES
from tests.unit.uart import open_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BOOT = (
    b"\r\nU-Boot SPL 2021.10\r\n"
    b"[    0.000000] Booting Linux on physical CPU 0x0\r\n"
    b"\r\n"
    b"garbage \xff\xfe here\n"
    b"[   12.345678] shprd.k: module inserted\r\r\n"
    b"bbb01 login: "
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ConsoleLog]:
    log = ConsoleLog(tmp_path / "console.log")
    yield log
    log.close()


# lines


def test_lines_are_numbered_texts_without_their_ends(log: ConsoleLog) -> None:
    new = log.append(BOOT, 5)
    assert [line.number for line in new] == [0, 1, 2, 3, 4, 5]
    assert [line.text for line in new] == [
        "",
        "U-Boot SPL 2021.10",
        "[    0.000000] Booting Linux on physical CPU 0x0",
        "",
        "garbage \ufffd\ufffd here",
        "[   12.345678] shprd.k: module inserted",
    ]
    assert new[4].raw == b"garbage \xff\xfe here"
    assert new[5].message == "shprd.k: module inserted"
    assert [line.kernel_time_s for line in new] == [None, None, 0.0, None, None, 12.345678]
    assert log.lines() == list(new)
    assert log.unfinished == b"bbb01 login: "
    assert (log.count, log.size) == (6, len(BOOT))


def test_the_kernel_time_is_the_newest_that_was_printed(log: ConsoleLog) -> None:
    assert log.kernel_time_s is None
    log.append(b"U-Boot\n", 1)
    assert log.kernel_time_s is None
    log.append(b"[   12.345678] a\nno time here\n", 2)
    assert log.kernel_time_s == 12.345678
    log.append(b"[    0.000000] booted anew\n", 3)
    assert log.kernel_time_s == 0.0


def test_a_line_has_the_host_time_at_which_its_end_came(log: ConsoleLog) -> None:
    assert log.last_ns is None
    log.append(b"first\nsec", 1_000)
    log.append(b"ond\n", 2_000)
    log.append(b"unfinished", 3_000)
    assert [line.time_ns for line in log.lines()] == [1_000, 2_000]
    assert log.last_ns == 3_000


def test_the_wall_clock_is_that_of_this_computer(log: ConsoleLog) -> None:
    away_s = (log.wall(time.monotonic_ns()) - datetime.now(UTC)).total_seconds()
    assert abs(away_s) < 1


def test_lines_can_be_asked_for_by_number(log: ConsoleLog) -> None:
    log.append(b"a\nb\nc\nd\n", 1)

    def texts(since: int, until: int | None = None) -> list[str]:
        return [line.text for line in log.lines(since, until)]

    assert texts(2) == ["c", "d"]
    assert texts(1, 3) == ["b", "c"]
    assert texts(3, 1) == []
    assert texts(9) == []
    assert [line.text for line in log.tail(2)] == ["c", "d"]
    assert [line.text for line in log.tail(99)] == ["a", "b", "c", "d"]


# the file


def check_offsets(path: Path, log: ConsoleLog, data: bytes) -> None:
    """The file has every byte, each line's offset leads to it there, and the index says the same."""
    assert path.read_bytes() == data
    for line in log.lines():
        assert data[line.offset : line.offset + len(line.raw)] == line.raw
        assert data[line.offset - 1 : line.offset] in (b"", b"\n") or len(line.raw) == MAX_LINE_BYTES
    index = [row.split("\t") for row in path.with_name(path.name + ".times").read_text().splitlines()]
    assert [(int(row[0]), int(row[1]), int(row[2])) for row in index] == [
        (line.number, line.offset, line.time_ns)
        for before, line in pairwise([None, *log.lines()])
        if line is not None and (before is None or before.time_ns != line.time_ns)
    ]


def test_every_line_knows_where_it_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    log = ConsoleLog(path)
    log.append(BOOT, 7)
    check_offsets(path, log, BOOT)
    assert [line.offset for line in log.lines()][:3] == [0, 2, 22]
    log.append(b"root\r\nPassword: ", 8)
    check_offsets(path, log, BOOT + b"root\r\nPassword: ")
    log.close()


@given(
    data=st.lists(
        st.sampled_from([b"\n", b"\r", b"\r\n", b"\r\r\n", b"a", b"\xff", b"\xc3\xbc", b"[   1.000000] x"])
    ).map(b"".join),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_offsets_are_right_however_the_bytes_come(
    data: bytes, cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "offsets.log"
    log = ConsoleLog(path)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for number, (start, stop) in enumerate(pairwise(edges)):
        log.append(data[start:stop], number)
    assert [line.raw for line in log.lines()] == [line.rstrip(b"\r") for line in data.split(b"\n")[:-1]]
    check_offsets(path, log, data)
    log.close()


def test_offsets_are_right_for_lines_too_long_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    log = ConsoleLog(path)
    data = b"short\n" + b"x" * (2 * MAX_LINE_BYTES + 10) + b"\r\nafter\r\n"
    for start in range(0, len(data), 50_000):
        log.append(data[start : start + 50_000], 1)
    assert [len(line.raw) for line in log.lines()] == [5, MAX_LINE_BYTES, MAX_LINE_BYTES, 10, 5]
    assert [line.offset for line in log.lines()][1:4] == [6, 6 + MAX_LINE_BYTES, 6 + 2 * MAX_LINE_BYTES]
    for line in log.lines():
        assert data[line.offset : line.offset + len(line.raw)] == line.raw
    assert [line.number for line in log.lines()] == [0, 1, 2, 3, 4]
    assert [line.text for line in log.lines(4)] == ["after"]
    assert log.lines(1, 4) == log.lines()[1:4]
    log.close()


def test_bytes_are_on_disk_as_soon_as_they_came(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    log = ConsoleLog(path)
    log.append(b"[    1.000000] last words", 1)
    assert path.read_bytes() == b"[    1.000000] last words"
    log.append(b"\n", 2_000_000_000)
    number, offset, time_ns, wall = path.with_name("console.log.times").read_text().rstrip("\n").split("\t")
    assert (number, offset, time_ns) == ("0", "0", "2000000000")
    assert datetime.fromisoformat(wall) == log.wall(2_000_000_000)
    log.close()


def test_a_killed_run_leaves_what_it_had_read(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    pid = os.fork()
    if pid == 0:
        try:
            ConsoleLog(path).append(BOOT, 1)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert path.read_bytes() == BOOT
    assert [row.split("\t")[:3] for row in path.with_name("console.log.times").read_text().splitlines()] == [
        ["0", "0", "1"]
    ]


def test_a_full_disk_does_not_stop_the_watch(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.symlink_to("/dev/full")
    log = ConsoleLog(path)
    assert log.disk_error is None
    assert [line.text for line in log.append(b"one\n", 1)] == ["one"]
    assert log.disk_error is not None
    assert log.disk_error.errno == errno.ENOSPC
    assert [line.text for line in log.append(b"two\n", 2)] == ["two"]
    assert [line.text for line in log.lines()] == ["one", "two"]
    assert log.text_since(0) == "one\ntwo\n"
    log.close()


def test_a_disk_that_fills_later_keeps_what_fitted(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    log = ConsoleLog(path)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old_limit[1]))
    try:
        for number in range(30):
            log.append(b"x" * 99 + b"\n", number)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert log.disk_error is not None
    assert log.disk_error.errno == errno.EFBIG
    assert path.read_bytes() == (b"x" * 99 + b"\n") * (len(path.read_bytes()) // 100)
    assert 0 < len(path.read_bytes()) <= 1000
    assert log.count == 30
    assert log.lines()[-1].offset == 2900
    log.close()


def test_a_log_that_cannot_be_made_is_kept_in_memory(tmp_path: Path) -> None:
    before = open_files()
    log = ConsoleLog(tmp_path / "no such folder" / "console.log")
    assert log.disk_error is not None
    assert log.disk_error.errno == errno.ENOENT
    log.append(b"heard\n", 1)
    assert [line.text for line in log.lines()] == ["heard"]
    log.close()
    assert open_files() == before


def test_an_index_that_cannot_be_made_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "console.log.times").mkdir()
    before = open_files()
    log = ConsoleLog(tmp_path / "console.log")
    assert log.disk_error is not None
    assert log.disk_error.errno == errno.EISDIR
    log.close()
    log.close()
    assert open_files() == before


def test_what_comes_after_closing_is_still_heard(log: ConsoleLog, tmp_path: Path) -> None:
    log.append(b"one\n", 1)
    log.close()
    log.append(b"two\n", 2)
    assert [line.text for line in log.lines()] == ["one", "two"]
    assert (tmp_path / "console.log").read_bytes() == b"one\n"


# memory


def test_memory_keeps_the_newest_lines_and_the_file_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConsoleLog, "KEEP_LINES", 10)
    log = ConsoleLog(tmp_path / "console.log")
    for number in range(100):
        log.append(b"line %d\n" % number, number)
    assert [line.text for line in log.lines()] == [f"line {number}" for number in range(90, 100)]
    assert [line.number for line in log.lines(95, 97)] == [95, 96]
    assert [line.number for line in log.lines(20, 92)] == [90, 91]
    assert log.lines(20, 40) == []
    assert (tmp_path / "console.log").read_bytes().count(b"\n") == 100
    log.close()


def test_a_board_that_prints_endless_long_lines_does_not_eat_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConsoleLog, "KEEP_BYTES", 10_000)
    log = ConsoleLog()
    for number in range(100):
        log.append(b"x" * 999 + b"\n", number)
    assert [line.number for line in log.lines()] == list(range(90, 100))


def test_text_in_memory_is_bounded_and_cursors_stay_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConsoleLog, "KEEP_TEXT", 800)
    log = ConsoleLog()
    for number in range(1000):
        log.append(b"line %05d\n" % number, number)
        assert len(log.text_since(0)) <= 900
    assert log.end == 11_000
    assert log.text_since(11_000 - 22) == "line 00998\nline 00999\n"
    assert log.text_since(0).endswith("line 00999\n")
    match, cursor, _ = log.search(re.compile(r"line 00950"), 0, 0)
    assert match is not None
    assert cursor == 950 * 11 + 10
    assert log.search(re.compile(r"line 00100"), 0, 0)[0] is None
    log.append(b"more\n", 1)
    match, _, _ = log.search(re.compile(r"more"), cursor, cursor)
    assert match is not None


# the search


def find(log: ConsoleLog, pattern: str, cursor: int = 0, scanned: int = 0) -> tuple[str | None, int, int]:
    match, cursor, scanned = log.search(re.compile(pattern, re.MULTILINE), cursor, scanned)
    return (None if match is None else match[0]), cursor, scanned


def test_a_search_goes_on_behind_the_last_match(log: ConsoleLog) -> None:
    log.append(b"one two one\n", 1)
    assert find(log, "one") == ("one", 3, 3)
    assert find(log, "one", 3, 3) == ("one", 11, 11)
    assert find(log, "one", 11, 11) == (None, 11, 12)
    log.append(b"one\n", 2)
    assert find(log, "one", 11, 12) == ("one", 15, 15)


def test_a_search_that_fails_leaves_the_cursor_and_says_how_far_it_looked(log: ConsoleLog) -> None:
    log.append(b"half a pat", 1)
    assert find(log, "pattern", 2, 2) == (None, 2, 10)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_pattern_is_found_across_chunks(log: ConsoleLog, size: int) -> None:
    data = "Grüße: first\r\nsecond\r\n".encode()
    scanned = 0
    found: str | None = None
    for start in range(0, len(data), size):
        log.append(data[start : start + size], start)
        found, _, scanned = find(log, r"^Grüße: (\w+)$\nsecond", 0, scanned)
        if found:
            break
    assert found == "Grüße: first\nsecond"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n"])
def test_line_ends_of_a_uart_are_line_ends_of_a_pattern(log: ConsoleLog, end: bytes) -> None:
    log.append(b"before" + end + b"done" + end + b"# ", 1)
    assert find(log, r"^done$")[0] == "done"
    assert find(log, r"before\ndone\n# $")[0] == "before\ndone\n# "


def test_a_return_cut_from_its_line_end_is_still_one_line_end(log: ConsoleLog) -> None:
    for byte in b"ok\r\r\nnext":
        log.append(bytes([byte]), 1)
    assert log.text_since(0) == "ok\nnext"
    assert log.end == 7


def test_a_return_without_a_line_end_stays(log: ConsoleLog) -> None:
    log.append(b"10%\r", 1)
    log.append(b"20%\r\n", 2)
    assert log.text_since(0) == "10%\r20%\n"


def test_a_flood_of_returns_costs_nothing(log: ConsoleLog) -> None:
    started = time.process_time()
    for _ in range(20):
        log.append(b"\r" * 65_536 + b"x", 1)
    log.append(b"\nend\n", 2)
    assert time.process_time() - started < 2
    assert find(log, "^end$")[0] == "end"


def test_a_match_may_begin_in_what_was_scanned_but_not_before_the_cursor(log: ConsoleLog) -> None:
    log.append(b"a" * 100 + b"START", 1)
    _, cursor, scanned = find(log, "START END")
    log.append(b" END\n", 2)
    assert find(log, "START END", cursor, scanned)[0] == "START END"
    assert find(log, "START END", 101, 101)[0] is None


def test_what_lies_further_back_than_the_overlap_is_not_looked_at_again(log: ConsoleLog) -> None:
    log.append(b"START" + b"x" * 2 * Transcript.OVERLAP, 1)
    _, cursor, scanned = find(log, "START.*END")
    log.append(b"END", 2)
    assert find(log, "START.*END", cursor, scanned)[0] is None
    assert find(log, "x+END", cursor, scanned)[0] == "x" * Transcript.OVERLAP + "END"


@pytest.mark.parametrize("window", [70, 100, 129, 5000])
@pytest.mark.parametrize("pattern", ["b+$", "^b.*c$", r"a\nb", r"(?<=a)b", "b(?!c)", r"ab\Z", "c*", r"(?s)a.{0,40}d"])
def test_a_search_by_windows_finds_what_a_search_of_all_finds(
    pattern: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transcript, "WINDOW", window)
    monkeypatch.setattr(Transcript, "OVERLAP", 64)
    monkeypatch.setattr(Transcript, "PIECE", 16)
    text = "abbbc\n\nbbc\na\nb\nacbcbcbbbcc\nddd\nab" * 9
    transcript = Transcript(10_000)
    for start in range(0, len(text), 5):
        transcript.append(text[start : start + 5])
    compiled = re.compile(pattern, re.MULTILINE)
    position = 0
    for wanted in compiled.finditer(text):
        if wanted.end() == wanted.start():
            break
        match, found, _ = transcript.search(compiled, position, position)
        assert match is not None
        assert (match[0], found) == (wanted[0], wanted.end())
        position = found


def test_a_long_wait_does_not_scan_the_log_again_and_again() -> None:
    log = ConsoleLog()
    log.append(b"x" * (4 << 20), 1)
    pattern = re.compile("x(?=y)")
    _, cursor, scanned = log.search(pattern, 0, 0)
    started = time.process_time()
    for number in range(300):  # at ~10 ms for each whole scan this would be seconds
        log.append(b"x", number)
        match, cursor, scanned = log.search(pattern, cursor, scanned)
        assert match is None
    assert time.process_time() - started < 1.5


def test_half_a_utf8_character_waits_for_its_other_half(log: ConsoleLog) -> None:
    log.append("ü".encode()[:1], 1)
    assert log.end == 0
    log.append("ü".encode()[1:], 2)
    assert log.text_since(0) == "ü"


# waking up


def test_whoever_waits_is_woken_by_bytes_and_by_news(log: ConsoleLog) -> None:
    wakeup = log.subscribe()
    for wake in (lambda: log.append(b"x", 1), log.wake):
        assert not readable(wakeup)
        wake()
        assert readable(wakeup)
        assert wakeup.clear()
        assert not wakeup.clear()
    log.unsubscribe(wakeup)
    log.append(b"y", 2)
    assert not readable(wakeup)


def test_no_descriptor_is_left_of_those_who_waited() -> None:
    before = open_files()
    log = ConsoleLog()
    one, two = log.subscribe(), log.subscribe()
    log.unsubscribe(one)
    log.close()
    log.unsubscribe(two)
    assert open_files() == before


def test_a_wakeup_that_nobody_clears_never_blocks() -> None:
    wakeup = Wakeup()
    for _ in range(100_000):
        wakeup.set()
    assert readable(wakeup)
    wakeup.clear()
    assert not readable(wakeup)
    wakeup.close()


def readable(wakeup: Wakeup) -> bool:
    return bool(select.select([wakeup], [], [], 0)[0])

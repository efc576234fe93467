"""Bytes to lines: chunks, line ends, prefixes, damage."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_shepherd_hil.kernel.lines import MAX_LINE_BYTES, LineSplitter, parse_line, split_embedded


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n"])
def test_every_line_end_gives_the_same_lines(end: bytes) -> None:
    splitter = LineSplitter()
    assert splitter.feed(end.join([b"one", b"", b"two", b"thr"])) == [b"one", b"", b"two"]
    assert splitter.pending == b"thr"
    assert splitter.feed(end) == [b"thr"]
    assert splitter.pending == b""


@given(
    data=st.lists(st.sampled_from([b"\n", b"\r", b"a", b"bc", b"\x00", b"\xff", b"\r\r\n", b"x" * 9])).map(b"".join),
    cuts=st.lists(st.integers(0, 200)),
)
def test_chunking_does_not_change_the_lines(data: bytes, cuts: list[int]) -> None:
    whole = LineSplitter(max_bytes=8)
    expected = whole.feed(data)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    parts = LineSplitter(max_bytes=8)
    lines = [line for start, stop in pairwise(edges) for line in parts.feed(data[start:stop])]
    assert (lines, parts.pending) == (expected, whole.pending)
    assert all(len(line) <= 8 for line in lines)
    assert len(parts.pending) <= 8


def test_a_line_of_megabytes_comes_in_pieces() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(64) for line in splitter.feed(b"x" * 50_000)]
    assert all(len(line) == MAX_LINE_BYTES for line in lines)
    assert sum(map(len, lines)) + len(splitter.pending) == 64 * 50_000
    assert splitter.feed(b"\n") == [b"x" * (64 * 50_000 % MAX_LINE_BYTES)]


OOPS = "Internal error: Oops: 5 [#1] SMP ARM"


@pytest.mark.parametrize(
    ("text", "time_s", "caller", "level"),
    [
        ("[  942.541300] ", 942.5413, None, None),
        ("[  942.541300][ T123] ", 942.5413, "T123", None),
        ("[   12.300000][    C1] ", 12.3, "C1", None),
        ("[12345.678901] ", 12345.678901, None, None),
        ("<6>[   12.300000] ", 12.3, None, 6),
        ("<4>", None, None, 4),
        ("", None, None, None),
        ("bbb01 login: [   12.300000] ", 12.3, None, None),
        ("login: [ 12.3] ", 12.3, None, None),
        ("root@bbb:~# ls -[   12.300000] ", 12.3, None, None),
        ("** 27 printk messages dropped ** [   12.300000] ", 12.3, None, None),
        ("\ufffd\ufffd%&[   12.300000] ", 12.3, None, None),
        ("  942.541300] ", 942.5413, None, None),
        ("[  942.54x300] ", None, None, None),
        ("Nov 22 10:00:00 bbb01 kernel: [   12.300000] ", 12.3, None, None),
        ("Nov 22 10:00:00 bbb01 kernel: ", None, None, None),
        ("2024-11-22T10:00:00+0000 bbb01 kernel: ", None, None, None),
        ("3,1234,942541300,-;", 942.5413, None, 3),
        ("6,1234,942541300,-,caller=T12;", 942.5413, None, 6),
        ("\x1b[0m\x1b[32m[  942.541300] \x1b[31m", 942.5413, None, None),
        ("\x00\x00[  942.541300] ", 942.5413, None, None),
    ],
)
def test_prefixes_are_taken_off(text: str, time_s: float | None, caller: str | None, level: int | None) -> None:
    line = parse_line((text + OOPS + " \r").encode(), 7)
    assert (line.number, line.message) == (7, OOPS)
    assert (line.kernel_time_s, line.caller, line.level) == (time_s, caller, level)


@pytest.mark.parametrize(
    "text",
    [
        f"root@bbb:~# echo '[  942.541300] {OOPS}'",
        f'debian@bbb:~$ grep "[  942.541300] {OOPS}" log',
        f"echo [  942.541300] {OOPS}",
        f"/var/log/kern.log:Nov 22 10:00:00 bbb01 kernel: [  942.541300] {OOPS}",
        f"Nov 22 10:00:00 bbb01 openvpn[12]: {OOPS}",
    ],
)
def test_what_quotes_the_kernel_is_not_the_kernel(text: str) -> None:
    line = parse_line(text.encode(), 0)
    assert line.message == text
    assert line.kernel_time_s is None


def test_bytes_that_are_no_text_do_not_stop_a_line() -> None:
    line = parse_line(b"[    1.000000] a\xff\xfe\x80b\x00\x07c\x1b[2Jd", 0)
    assert line.message == "a\ufffd\ufffd\ufffdbcd"
    assert line.text.startswith("[    1.000000] a\ufffd")


def test_a_pointer_in_brackets_is_no_time() -> None:
    assert parse_line(b"[000001c1] *pgd=00000000", 0).message == "[000001c1] *pgd=00000000"


def test_a_lost_line_end_still_gives_two_messages() -> None:
    first, second = split_embedded(parse_line(b"[    1.000000] shprd.k: done[    2.000000] " + OOPS.encode(), 3))
    assert (first.message, first.kernel_time_s, first.number) == ("shprd.k: done", 1.0, 3)
    assert (second.message, second.kernel_time_s, second.number) == (OOPS, 2.0, 3)


@given(st.binary(max_size=300))
def test_any_bytes_make_a_line(raw: bytes) -> None:
    line = parse_line(raw, 0)
    assert "\r" not in line.message
    assert "\x1b" not in line.message
    assert "\x00" not in line.message
    assert 1 <= len(split_embedded(line)) <= 2


@pytest.mark.parametrize("unit", b"[|[ |\x1b[|\x1b]|<6>|1|[1.1|a:|/| |'|[ 1.000000]|[ 1.000000] |login: ".split(b"|"))
def test_a_hostile_line_costs_little(unit: bytes) -> None:
    raw = (unit * MAX_LINE_BYTES)[:MAX_LINE_BYTES]
    start = time.process_time()
    split_embedded(parse_line(raw, 0))
    assert time.process_time() - start < 0.5

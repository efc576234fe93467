"""Whole logs: the same answers as line by line, however the bytes are cut, and in bounded memory."""

from __future__ import annotations

import json
import resource
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.kernel.incident import Severity
from pytest_shepherd_hil.kernel.lines import MAX_LINE_BYTES
from pytest_shepherd_hil.kernel.scan import _BLOCK, Scanner, scan_bytes, scan_stream
from tests.requirements import SHARED, require
from tests.unit.kernel.kernel_console import OOPS_6_1, RULES, WARNING, judge_chunks, last_words, seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.kernel.incident import Incident

LOGS = [seed("unload-panic").encode(), seed("cma-and-pru").encode(), OOPS_6_1.encode(), WARNING.encode()]


def live(data: bytes) -> list[Incident]:
    return last_words(judge_chunks([data]))


def healthy(count: int, start_s: float = 1.0) -> bytes:
    return b"".join(b"[%12.6f] usb 1-1: new high-speed USB device\n" % (start_s + i / 1000) for i in range(count))


@pytest.mark.parametrize("log", LOGS, ids=["panic", "cma", "oops-6.1", "warning"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r\n"])
def test_a_scan_finds_what_the_live_judge_finds(log: bytes, end: bytes) -> None:
    data = log.replace(b"\n", end)
    assert scan_bytes(data, RULES) == live(data)
    assert scan_bytes(data, RULES)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Recorded logs behind each other, with flipped, lost and added bytes."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from([*LOGS, healthy(30), b"\r\n"]), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 12))):
        place, piece = draw(st.integers(0, len(data))), draw(st.binary(max_size=6))
        data[place : place + draw(st.integers(0, 40))] = piece
    return bytes(data)


@given(damaged())
@settings(max_examples=150, deadline=None)
def test_a_damaged_log_gives_the_same_answer_in_bulk_and_line_by_line(data: bytes) -> None:
    assert scan_bytes(data, RULES) == live(data)


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_bytes_in_any_chunks_give_one_answer(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole = scan_bytes(data, RULES)
    assert last_words(scan_stream((data[a:b] for a, b in pairwise(edges)), RULES)) == whole
    assert whole == live(data)


@pytest.mark.parametrize("chunk", [1000, 65_536, 1_000_003])
def test_chunks_change_nothing_in_a_log_of_many_blocks(chunk: int) -> None:
    data = healthy(40_000) + LOGS[0] + healthy(10_000, 2000.0)
    cut_up = list(scan_stream((data[i : i + chunk] for i in range(0, len(data), chunk)), RULES))
    assert [(i.kind, i.first_line, i.last_line) for i in cut_up] == [("oops", 40_000, 40_096)]
    assert last_words(cut_up) == live(data)


@pytest.mark.parametrize("before", [10, 60, 90])
def test_a_report_across_two_blocks_is_whole(before: int) -> None:
    start = b"".join(LOGS[0].splitlines(keepends=True)[:before])
    data = healthy(30_000)
    data = data[data.index(b"\n", len(data) - _BLOCK + len(start)) + 1 :]  # the block ends after so many lines of it
    data = b" " * (_BLOCK - len(data) - len(start) - 1) + b"\n" + data + LOGS[0] + healthy(2000, 2000.0)
    found = scan_bytes(data, RULES)
    assert [incident.complete for incident in found] == [True]
    assert last_words(scan_stream((data[:_BLOCK], data[_BLOCK:]), RULES)) == found == live(data)


def test_lines_are_counted_across_what_is_passed_over() -> None:
    scanner = Scanner(RULES)
    found = scanner.feed(healthy(50_000)) + scanner.feed(LOGS[3]) + scanner.finish()
    assert [(i.first_line, i.last_line) for i in found] == [(50_000, 50_007)]
    assert scanner.lines == 50_008


@pytest.mark.parametrize(
    "size", [MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 3 * MAX_LINE_BYTES, 3_000_000]
)
def test_a_line_of_megabytes_is_one_line(size: int) -> None:
    data = b"x" * size + b"\n" + LOGS[0] + b"y" * size
    found = scan_bytes(data, RULES)
    chunks = [data[i : i + 50_000] for i in range(0, len(data), 50_000)]
    assert found == live(data) == last_words(scan_stream(chunks, RULES))
    assert found[0].first_line == 1
    assert data.split(b"\n")[found[0].first_line].decode() == found[0].lines[0]


def test_line_numbers_are_those_of_the_file_after_overlong_lines_too() -> None:
    long = b"z" * (2 * MAX_LINE_BYTES + 5) + b"\n"
    data = long + healthy(30_000) + long + LOGS[1] + long + b"\r\n" + LOGS[3].replace(b"  100.", b" 9100.")
    lines = data.split(b"\n")
    found = scan_bytes(data, RULES)
    assert found == live(data)
    assert [lines[incident.first_line].decode() for incident in found] == [incident.lines[0] for incident in found]
    scanner = Scanner(RULES)
    scanner.feed(data)
    scanner.finish()
    assert scanner.lines == data.count(b"\n")


def test_texts_hidden_by_control_characters_are_found() -> None:
    data = LOGS[0].replace(b"Unable to handle", b"Una\x1b[1mble\x00 to han\rdle")
    assert scan_bytes(data, RULES) == live(data)
    assert live(data)[0].rule == "oops-unable-to-handle"


def test_a_boot_after_a_panic_is_seen_however_short_it_is() -> None:
    data = LOGS[0] + healthy(30) + b"[  950.000000] up\n" + healthy(2000, 951.0)
    assert scan_bytes(data, RULES) == live(data)
    assert scan_bytes(data, RULES)[0].consequences == ("the board rebooted: kernel time began again",)


def test_a_replay_of_an_old_log_is_no_news_after_megabytes_either() -> None:
    data = LOGS[1] + healthy(60_000, 3000.0) + b"root@bbb:~# dmesg\n" + LOGS[1]
    assert scan_bytes(data, RULES) == scan_bytes(LOGS[1], RULES) == live(data)


def test_without_hyperscan_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = healthy(5000) + b"".join(LOGS)
    with_it = scan_bytes(data, RULES)
    scanner = Scanner(RULES)
    monkeypatch.setattr(scanner._prefilter, "_database", None)
    assert last_words(scanner.feed(data) + scanner.finish()) == with_it


def _endless(megabytes: int) -> Iterator[bytes]:
    crash = LOGS[0].replace(b"Kernel panic", b"kernel  panic")
    for number in range(megabytes * 5):
        yield healthy(2500, 5000.0 + number * 10) + (crash if number % 50 == 0 else b"")
        yield b"z" * 80_000


def test_memory_does_not_grow_with_the_log() -> None:
    for _ in scan_stream(_endless(4), RULES):
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in scan_stream(_endless(40), RULES):
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 64 * 2**20


def _corpus() -> list[dict[str, object]]:
    with (SHARED / "corpus" / "kernel-logs.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@require("shared")
def test_each_crash_of_the_corpus_is_found_and_nothing_else() -> None:
    wrong = []
    for row in _corpus():
        fails = [i for i in scan_bytes(str(row["text"]).encode(), RULES) if i.severity is Severity.FAIL]
        if bool(fails) != bool(row["is_crash"]):
            wrong.append((row["id"], row["title"], [incident.title for incident in fails]))
    assert wrong == []


@require("shared")
def test_a_scan_of_the_corpus_is_its_live_judgement() -> None:
    different = [
        row["id"] for row in _corpus() if scan_bytes(str(row["text"]).encode()) != live(str(row["text"]).encode())
    ]
    assert different == []


@require("shared")
def test_the_guilty_function_of_the_corpus_is_named() -> None:
    named = right = 0
    for row in _corpus():
        if not row["is_crash"] or not row["frame"] or row["corrupted"]:
            continue
        alternatives = row["alt"] if isinstance(row["alt"], list) else []
        names = {row["frame"], *(str(title).rpartition(" in ")[2] for title in alternatives)}
        fails = [i for i in scan_bytes(str(row["text"]).encode(), RULES) if i.severity is Severity.FAIL]
        named += 1
        right += bool(fails) and fails[0].function in names
    assert right / named >= GUILTY_SHARE, f"{right} of {named}"


GUILTY_SHARE = 0.97
"""A floor under what has been reached."""

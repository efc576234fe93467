"""News, and logs that are shown again: the same answers line by line, in blocks, and for a whole log at once."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.kernel.lines import parse_line
from pytest_shepherd_hil.kernel.live import LiveDetector
from pytest_shepherd_hil.kernel.scan import scan_bytes
from pytest_shepherd_hil.kernel.timeline import Timeline
from tests.unit.kernel.kernel_console import RULES, WARNING, judge_lines, last_words, seed

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Incident

CMA = seed("cma-and-pru")
OOPS = "".join(line for line in seed("unload-panic").splitlines(keepends=True) if "Kernel panic" not in line)


def healthy(start_s: float, count: int, step_s: float) -> str:
    return "".join(f"[{start_s + i * step_s:12.6f}] usb 1-1: number {i}\n" for i in range(count))


def moved(log: str, by_s: float) -> str:
    return re.sub(r"(?m)^\[ *(\d+\.\d+)\]", lambda time: f"[{float(time[1]) + by_s:12.6f}]", log)


def answers(incidents: list[Incident]) -> list[tuple[str, int, int]]:
    return [(incident.title, incident.first_line, incident.last_line) for incident in incidents]


def in_blocks(text: str, source: random.Random) -> list[Incident]:
    detector, found, lines = LiveDetector(RULES), [], text.encode().splitlines()
    position = 0
    while position < len(lines):
        block = lines[position : position + source.randint(1, 60)]
        if not detector.pass_over(b"".join(line + b"\n" for line in block)):
            for number, raw in enumerate(block, position):
                found += detector.feed(parse_line(raw, number))
        position += len(block)
    return last_words(found + detector.flush())


def test_an_old_log_that_is_shown_soon_after_the_boot_is_no_news_to_a_scan_either() -> None:
    text = healthy(20, 300, 0.5) + healthy(60, 150, 0.01) + moved(WARNING, -38) + healthy(171, 50, 0.01)
    assert answers(scan_bytes(text.encode())) == answers(last_words(judge_lines(text.encode().splitlines()))) == []


def test_news_after_lines_that_ran_ahead_and_back_are_the_same_to_both() -> None:
    text = healthy(99.5, 400, 0.1) + WARNING + moved(WARNING, 60)
    (expected,) = last_words(judge_lines(text.encode().splitlines()))
    assert expected.first_line == 408
    assert answers(scan_bytes(text.encode())) == answers([expected])


@pytest.mark.parametrize("number", range(40))
def test_whatever_is_shown_again_the_answers_are_the_same(number: int) -> None:
    source = random.Random(number)
    now, out = source.choice([20.0, 500.0]), list[str]()
    for _ in range(source.randint(2, 7)):
        match source.choice(
            ["healthy", "healthy", "again", "again", "crash", "silence", "damage", "late", "old", "old"]
        ):
            case "healthy":
                count, step_s = source.choice([1, 5, 50, 400, 1500]), source.choice([0.0001, 0.001, 0.01, 0.3])
                out += healthy(now, count, step_s).splitlines(keepends=True)
                now += count * step_s
            case "again" if out:
                start = source.randrange(len(out))
                out += out[start : start + source.choice([1, 3, 10, 60, 400])]
            case "crash":
                log = source.choice([OOPS, CMA, WARNING])
                out += moved(log, now - float(log[1:13])).splitlines(keepends=True)
                now += 16
            case "silence":
                now += source.choice([1.5, 10, 100])
            case "damage":
                out.append(f"[{now + source.choice([5, 9000]):12.6f}] usb 1-1: damaged\n")
            case "late":
                out += [f"[{now - late_s:12.6f}] usb 1-1: late\n" for late_s in (0.01, 0.3)]
            case "old":
                log = source.choice([OOPS, CMA, WARNING])
                out += moved(log, source.choice([-40, 0, 3000])).splitlines(keepends=True)
        now += source.choice([0.0, 0.001, 0.5, 2])
    text = "".join(out)
    expected = answers(last_words(judge_lines(text.encode().splitlines())))
    assert answers(scan_bytes(text.encode())) == expected
    assert answers(in_blocks(text, source)) == expected


@pytest.mark.parametrize("after_s", [10.0, 9.97])
def test_a_damaged_time_does_not_blind_to_what_is_as_early_as_before_it(after_s: float) -> None:
    timeline = Timeline()
    assert [timeline.live(time_s) for time_s in (9.0, 10.0, 9.95, 9942.0, after_s, 10.1)] == [True] * 6
    assert timeline.newest == 10.1


def test_a_tail_of_a_log_that_is_shown_again_after_news_is_no_news() -> None:
    timeline = Timeline()
    for time_s in (9.0, 10.0, 50.0, 50.1):
        timeline.live(time_s)
    assert [timeline.live(time_s) for time_s in (9.5, 10.0, 50.0, 50.1)] == [False, False, True, True]


def test_a_crash_whose_lines_have_one_time_is_whole_after_a_damaged_time() -> None:
    lines = [re.sub(r"^\[.{12}\]", "[  100.000001]", line) for line in WARNING.splitlines()]
    lines[3] = lines[3].replace("  100.", " 9100.")
    (incident,) = last_words(judge_lines("\n".join(lines).encode().splitlines()))
    assert (incident.first_line, incident.last_line, incident.complete) == (0, 7, True)


def test_news_are_news_wherever_they_cut_a_log_that_is_shown_again() -> None:
    shown = f"debian@sim:~$ dmesg\n{moved(seed('unload-panic'), -942.5)}debian@sim:~$ "
    news = "[    2.812144] shprd.k: mem corruption?\n[    2.813137] usb 1-1: number 7\n"
    for cut in range(0, len(shown) + 1, 3):
        text = healthy(0.7, 5, 0.3) + shown[:cut] + news + shown[cut:]
        titles = [incident.title for incident in judge_lines(text.encode().splitlines())]
        assert "shepherd: mem corruption?" in titles, shown[max(cut - 60, 0) : cut]


def test_news_after_two_old_logs_of_greater_times_are_news() -> None:
    shown = "".join(f"debian@sim:~$ cat {n}.log\n{log}" for n, log in enumerate((moved(OOPS, 0.0), CMA)))
    text = healthy(0.7, 5, 0.3) + shown + "[    2.812144] shprd.k: mem corruption?\n"
    assert judge_lines(text.encode().splitlines())[-1].title == "shepherd: mem corruption?"


def test_what_is_known_to_be_now_ends_a_replay() -> None:
    timeline = Timeline()
    assert [timeline.live(time_s) for time_s in (5.0, 2152.0, 900.0, 5.1, 5.2)] == [True, True, True, True, True]
    assert [timeline.live(time_s) for time_s in (1.0, 5.3)] == [False, True]
    timeline.live(4000.0)
    timeline.live(5.3)
    timeline.live(1.0)
    timeline.newest = 4000.0  # as after a damaged time that nothing took back
    assert not timeline.live(5.4)
    timeline.is_now(5.5)
    assert timeline.live(5.6)

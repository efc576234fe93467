"""A flood that is passed over in one piece changes no answer."""

from __future__ import annotations

import random

import pytest

from pytest_shepherd_hil.kernel.incident import Incident, Severity
from pytest_shepherd_hil.kernel.lines import parse_line
from pytest_shepherd_hil.kernel.live import LiveDetector
from tests.unit.kernel.kernel_console import OOPS_6_1, RULES, WARNING, last_words, seed

LOGS = [seed("unload-panic"), seed("cma-and-pru"), OOPS_6_1, WARNING]


def judged(lines: list[bytes], cuts: random.Random | None) -> tuple[list[Incident], int]:
    """The incidents, and how many lines have been passed over; without cuts, each line is fed for itself."""
    detector, found, position, passed = LiveDetector(RULES), [], 0, 0
    while position < len(lines):
        block = lines[position : position + (cuts.randint(1, 60) if cuts is not None else 1)]
        if cuts is not None and detector.pass_over(b"".join(line + b"\r\n" for line in block)):
            passed += len(block)
        else:
            for number, raw in enumerate(block, position):
                found += detector.feed(parse_line(raw, number))
        position += len(block)
    return last_words(found + detector.flush()), passed


@pytest.mark.parametrize("seed_number", range(20))
def test_blocks_of_any_size_give_the_answers_of_single_lines(seed_number: int) -> None:
    rng = random.Random(seed_number)
    lines: list[bytes] = []
    for log in rng.sample(LOGS, 3):
        text = [line.encode() for line in log.splitlines()]
        times = [time_s for line in text if (time_s := parse_line(line, 0).kernel_time_s) is not None]
        before_s, after_s = min(times) - 0.4, max(times)
        lines += [b"[%12.6f] usb 1-1: number %d" % (max(before_s + i / 1000, 0), i) for i in range(rng.randint(0, 400))]
        lines += text
        lines += [b"[%12.6f] usb 1-1: after %d" % (after_s + i / 1000, i) for i in range(rng.randint(0, 400))]
        if rng.random() < 0.5:
            lines += text[: rng.randint(0, len(text))]  # shown again
    expected, _ = judged(lines, None)
    found, passed = judged(lines, rng)
    assert found == expected
    assert any(incident.severity is Severity.FAIL for incident in found)
    assert passed > 0

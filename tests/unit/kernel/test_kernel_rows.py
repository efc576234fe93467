"""The fast ways of the judge: many lines at once, and what a first look at a line rules out."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.kernel import gates, shapes
from pytest_shepherd_hil.kernel.firsts import first_characters, may_begin
from pytest_shepherd_hil.kernel.gates import Gates
from pytest_shepherd_hil.kernel.lines import parse_line
from pytest_shepherd_hil.kernel.rows import Rows
from pytest_shepherd_hil.kernel.scan import scan_bytes
from pytest_shepherd_hil.kernel.shapes import shape_of
from pytest_shepherd_hil.kernel.trace import Trace
from tests.unit.kernel.kernel_console import OOPS_6_1, RULES, judge_chunks, last_words, seed

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.rules import Rule

MESSAGES = st.one_of(
    st.sampled_from(
        [
            " ? do_one+0x12/0x34",
            "  ? do_one.isra.0+0x12/0x34 [mod]",
            "  do_two+0x1/0x2 [shepherd]",
            "       do_three+0x12/0x34 kernel/a.c:12",
            "  [<ffffffff81055862>] vcpu_load+0x22/0x70",
            "  deadbeefdeadbeeffoo+0x1/0x2",
            "  do_four+0x1/0x2, at: do_five+0x1/0x2",
            "  do_six+0x1/0x2 [ 12.345678] more",
            " ? do_seven+0x1/0x2 [a.b]",
            "RAX: 0000000000000000 RBX: ffff8880a999be68 RCX: 0000000000000000",
            "CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033",
            "Modules linked in: shepherd(O-)",
            " ffff888011223344: fb fb fb fb",
            "usb 1-1: new high-speed USB device",
            "------------[ cut here ]------------",
            "---[ end trace 9358d1fc4259ae2f ]---",
            "Rebooting in 5 seconds..",
            "",
            " ",
        ]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=40),
)
PREFIXES = st.one_of(
    st.integers(0, 3_000_000).map(lambda us: f"[{10 + us / 1e6:12.6f}] "),
    st.sampled_from(
        ["[   10.000001][ T123] ", "[   10.000002][    C1] ", "[  1 .000000] ", "[   10.000003]", "", "<4>"]
    ),
)
LINES = st.tuples(PREFIXES, MESSAGES).map("".join)


@given(st.lists(LINES, min_size=1, max_size=12))
@settings(max_examples=300, deadline=None)
def test_rows_say_of_each_line_what_a_line_by_itself_says(lines: list[str]) -> None:
    table = Rows.of("".join(line + "\n" for line in lines))
    assert len(table.lines) == len(table.rows) == len(lines)
    for index, text in enumerate(lines):
        time, guess, function, offset, size, module, registers, _ = table.rows[index]
        if not time:
            assert index in table.stops
            continue
        line = parse_line(re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", text).encode(), index)
        assert line.kernel_time_s == table.time(index)
        if guess:
            assert shape_of(line.message) == "guess"
        elif function:
            assert shape_of(line.message) == "frame"
            trace = Trace("")
            trace.push((line.message, None))
            (frame,) = trace.frames
            found = (frame.function, frame.offset, frame.size, frame.module or "")
            assert found == (function, int(offset, 16), int(size, 16), module)
        elif registers:
            assert shape_of(line.message) == "registers"
            assert re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", registers).rstrip() == line.message
        else:
            assert index in table.others
            assert re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", table.messages[index]).rstrip() == line.message


@given(st.lists(LINES, max_size=30))
@settings(max_examples=300, deadline=None)
def test_a_report_with_any_lines_in_it_is_read_the_same_many_at_once_and_one_by_one(lines: list[str]) -> None:
    head, *tail = OOPS_6_1.split("\n", 2)
    data = "\n".join([head, *tail[:1], *lines, *tail[1:]]).encode()
    assert scan_bytes(data, RULES) == last_words(judge_chunks([data]))


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
def test_what_a_rule_matches_may_begin_as_it_does(rule: Rule) -> None:
    pattern, example = rule.pattern, parse_line(rule.example.encode(), 0).message
    assert all(may_begin(pattern, example[:length]) for length in range(6))
    first = first_characters(pattern)
    assert first is None or example[0] in first
    if first is not None:
        assert first == {char for char in map(chr, range(128)) if may_begin(pattern, char)}


@given(st.from_regex(r"(?:ab?|[c-e]{2,3}x*|\d+y|(?:q|rs){0,2}z)[^k]k", fullmatch=True), st.integers(0, 5))
@settings(deadline=None)
def test_a_pattern_may_begin_as_its_matches_do(text: str, length: int) -> None:
    pattern = re.compile(r"^(?:ab?|[c-e]{2,3}x*|\d+y|(?:q|rs){0,2}z)[^k]k")
    assert may_begin(pattern, text[:length])
    assert not may_begin(pattern, "~" + text)


def test_what_a_console_says_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "_MAX_GATES", 50)
    monkeypatch.setattr(shapes, "_MAX_KEYS", 50)
    some = Gates(RULES.rules)
    for number in range(5000):
        beginning = f"{chr(33 + number % 90)}{chr(33 + number // 90)}"
        some.may_match(beginning + "x: no rule knows this")
        shape_of(beginning)
    assert len(some) <= 50
    assert len(shapes._LOOKS) <= 50
    assert some.may_match("BUG: KASAN: use-after-free in f+0x1/0x2")


@given(st.lists(st.integers(0, 8000), max_size=10))
@settings(deadline=None)
def test_chunks_of_a_report_change_nothing(cuts: list[int]) -> None:
    data = seed("unload-panic").encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert last_words(judge_chunks(data[a:b] for a, b in pairwise(edges))) == scan_bytes(data, RULES)

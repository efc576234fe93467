"""Console text made safe to show, and file names made of any text."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_shepherd_hil.text import file_name, printable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [  12.3] text", "plain [  12.3] text"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[Hcleared", "cleared"),
        ("\x1b]0;title\x07rest", r"0;title\x07rest"),
        ("\x1b\x1b[0m[31mbuilt from two", r"\x1b[31mbuilt from two"),
        ("\x9b31mC1 colour", r"\x9b31mC1 colour"),
        ("bell\x07 null\x00 delete\x7f", r"bell\x07 null\x00 delete\x7f"),
        ("over\rwritten", r"over\rwritten"),
        ("two\nlines", r"two\nlines"),
        ("line\u2028separator", r"line\u2028separator"),
        ("abc\u202edcba", r"abc\u202edcba"),
        ("isolate\u2066d", r"isolate\u2066d"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("half \ud83d of a pair", r"half \ud83d of a pair"),
        ("a tab\tstays", "a tab\tstays"),
        ("Grüße 板 ✓", "Grüße 板 ✓"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_instead(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(max_size=200))
def test_whatever_text_becomes_one_line_that_can_be_written(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


def test_a_long_line_is_cut_and_says_how_long_it_was() -> None:
    assert printable("x" * 500) == "x" * 500
    assert printable("x" * 501) == "x" * 500 + "… (501 characters)"
    assert printable("abcdef", limit=3) == "abc… (6 characters)"


@pytest.mark.parametrize("name", ["sim01", "bbb01.local", "a_b-c.D9"])
def test_a_name_that_is_fit_for_a_file_is_left_alone(name: str) -> None:
    assert file_name(name) == name


HOSTILE = [
    "",
    ".",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    ".hidden",
    "-rf",
    "a\x00b",
    "a\nb",
    "\x1b[31m",
    "板",
    "é",
    "e\u0301",
    "half \ud83d",
    "x" * 300,
    "y" + "x" * 300,
    "板" * 300,
    "tests/test_x.py::test_a[1]",
    "tests/test_x.py::test_a[1 ]",
    "tests/test_x.py::test_a(1)",
    " ",
    "~",
    "*",
    "con:",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_makes_one_ordinary_file(text: str, tmp_path: Path) -> None:
    name = file_name(text)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)
    assert len(os.fsencode(name)) <= 100
    (tmp_path / name).write_text("there")
    assert [found.name for found in tmp_path.iterdir()] == [name]


def test_different_texts_make_different_file_names() -> None:
    assert len({file_name(text) for text in HOSTILE}) == len(HOSTILE)


@given(st.text(max_size=40))
def test_a_file_name_is_the_same_each_time_and_never_hidden(text: str) -> None:
    name = file_name(text)
    assert name == file_name(text)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)


def test_the_end_of_a_long_test_name_is_kept_because_it_tells_tests_apart() -> None:
    name = file_name("tests/" + "long/" * 60 + "test_unload.py::test_twice")
    assert "test_unload.py-test_twice-" in name

"""A hostile console on a person's terminal: it is shown and not obeyed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pytest_shepherd_hil.commands.live_text import LiveText

NOON = datetime(2026, 1, 2, 12, 0, 0, 34_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"one\r\ntwo\n", "one\ntwo\n"),
        (b"login: ", "login: "),
        (b"\x1b[1;31mred\x1b[m", "red"),
        (b"\x1b]0;title\x07", "0;title\\x07"),
        (b"\x9b2J", "\ufffd2J"),
        (b"10%\r20%\r\r\n", "10%\n20%\n"),
        ("grün ✓".encode(), "grün ✓"),
        ("\u202eevil".encode(), "\\u202eevil"),
        (b"ab\b \b", "ab\b \b"),
        (b"ab\b\x1b[K", "ab\b \b"),
        (b"line\na\b \b\b \b\b \b", "line\na\b \b"),
        (b"a\bb", "a\\x08b"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_what_is_shown_is_the_same_however_the_bytes_come(said: bytes, shown: str, size: int) -> None:
    text = LiveText()
    chunks = [said[start : start + size] for start in range(0, len(said), size)]
    assert "".join(text.feed(chunk) for chunk in chunks) + text.rest() == shown


def test_half_a_sequence_is_held_back_until_nothing_more_comes() -> None:
    text = LiveText()
    assert text.feed(b"prompt\x1b[3") == "prompt"
    assert text.rest() == "\\x1b[3"


def test_a_megabyte_without_a_line_end_is_shown_whole() -> None:
    text = LiveText()
    assert sum(len(text.feed(b"x" * 4096)) for _ in range(256)) == 1 << 20


def test_each_line_begins_with_the_time_at_which_it_began() -> None:
    text = LiveText(stamps=True, clock=lambda: NOON)
    assert text.feed(b"a\n\nb") + text.feed(b"c\n") == "[12:00:00.034] a\n[12:00:00.034] \n[12:00:00.034] bc\n"


def test_our_own_words_begin_on_a_line_of_their_own() -> None:
    text = LiveText()
    text.feed(b"login: ")
    assert text.break_line() == "\n"
    assert text.break_line() == ""

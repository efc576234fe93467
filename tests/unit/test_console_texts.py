"""The texts that stand in whatever a pattern matches, by which the search in a console is quick."""

from __future__ import annotations

import random
import re

import pytest

from pytest_shepherd_hil.console.texts import texts_of
from pytest_shepherd_hil.console.transcript import Transcript

SIX = r"login: $|Kernel panic - not syncing|=> $|U-Boot \d+|root@\w+:~#|ALL OF IT"


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("login: ", {"login: "}),
        (SIX, {"login: ", "Kernel panic - not syncing", "=> ", "U-Boot ", "root@", "ALL OF IT"}),
        (r"^\[ *\d+\.\d+\] hil: (?P<what>fence|nonce) \d+", {"] hil: "}),
        ("(?:token-|tok)[0-9]+", {"tok"}),
        ("(?:one|two|three){2,}x?", {"one", "two", "three"}),
        ("(?:maybe)?sure", {"sure"}),
        ("(?:maybe)*", set()),
        (r"\S", set()),
        ("a|", set()),
        ("(?i)login", set()),
        ("(?i:login)now", {"now"}),
        ("(?!not)this(?=after)", {"this"}),
        (r"(b)ack\1wards", {"wards"}),
        ("(?x) spaced   # remark", {"spaced"}),
        (r"ü\nßx", {"ü\nßx"}),
        ("|".join(f"{number:02d}x" for number in range(40)), set()),  # too many
    ],
)
def test_which_texts_they_are(pattern: str, texts: set[str]) -> None:
    assert set(texts_of(re.compile(pattern))) == texts


def random_pattern(generator: random.Random, depth: int = 0) -> str:
    kinds = ["a", "b", "ab", "ba", "[ab]", ".", "^", "$", r"\b", r"\n", "(?i:B)"]
    if depth > 2 or generator.random() < 0.4:
        return generator.choice(kinds)
    parts = [random_pattern(generator, depth + 1) for _ in range(generator.randint(1, 3))]
    forms = ["{}", "(?:{})", "({})?", "(?:{})+", "(?:{})*", "(?={})", "(?!{})"]
    return "".join(generator.choice(forms).format(part) for part in parts) + generator.choice(["", "", "|b", "|ba+"])


@pytest.mark.parametrize("seed", range(20))
def test_a_search_by_them_finds_what_a_search_without_them_finds(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(200):
        text = "".join(generator.choice("ab B\n") for _ in range(generator.randint(0, 12)))
        pattern = re.compile(random_pattern(generator), generator.choice([0, re.MULTILINE, re.IGNORECASE, re.DOTALL]))
        begin = generator.randint(0, len(text))
        transcript = Transcript(1000)
        transcript.append(text)
        found, cursor, _ = transcript.search(pattern, begin, begin)
        plain = pattern.search(text, begin)
        assert (found and (found.groups(), found[0]), cursor) == (
            plain and (plain.groups(), plain[0]),
            plain.end() if plain else begin,
        ), (pattern, text, begin)

"""With which characters a text can begin that a pattern matches: most lines need no pattern to be tried at all."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

__all__ = ["beginnings", "first_characters"]

_ALL = frozenset(map(chr, range(128)))


@lru_cache(maxsize=512)
def first_characters(pattern: re.Pattern[str]) -> frozenset[str] | None:
    """The ASCII characters at the start of what ``pattern`` matches; None where it may match anywhere or anything.

    A pattern that is anchored with ``^`` and says how it begins has an answer. Any other character is left to the
    caller to try.
    """
    begins = beginnings(pattern, 1)
    return None if begins is None else frozenset(begins)


@lru_cache(maxsize=512)
def beginnings(pattern: re.Pattern[str], length: int) -> frozenset[str] | None:
    """The same for the first ``length`` characters; a shorter text is all that the pattern needs."""
    if not pattern.pattern.startswith("^") or pattern.flags & (re.IGNORECASE | re.MULTILINE):
        return None
    try:
        parse: Any = vars(re)["_parser"].parse
        texts = _sequence(list(parse(pattern.pattern)), length)
    except (KeyError, AttributeError, ValueError, TypeError):  # another Python's parser: no answer is never wrong
        return None
    return None if "" in texts else texts


def _sequence(items: list[Any], length: int) -> frozenset[str]:
    """What a sequence can begin with, cut to ``length``."""
    texts: frozenset[str] = frozenset({""})
    for item in items:
        short = {text for text in texts if len(text) < length}
        if not short:
            break
        own = _item(item, length)
        texts = (texts - short) | {(text + more)[:length] for text in short for more in own}
    return texts


def _item(item: tuple[Any, Any], length: int) -> frozenset[str]:
    name, argument = str(item[0]), item[1]
    if name == "LITERAL":
        return frozenset({chr(argument)})
    if name == "IN":
        members = re.compile(_class_source(argument))
        return frozenset(char for char in _ALL if members.match(char))
    if name in ("AT", "ASSERT", "ASSERT_NOT"):
        return frozenset({""})
    if name == "SUBPATTERN":
        return _sequence(list(argument[-1]), length)
    if name == "BRANCH":
        return frozenset().union(*(_sequence(list(branch), length) for branch in argument[1]))
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, repeated = argument
        texts = _sequence(list(repeated) * min(int(least), length), length)
        for count in range(int(least), min(int(most), length)):
            texts |= _sequence(list(repeated) * (count + 1), length)
        return texts
    if name in ("ANY", "NOT_LITERAL"):
        return _ALL
    raise ValueError(name)


_CATEGORIES = {
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
}


def _class_source(members: list[Any]) -> str:
    """A class of characters written out again."""
    source = ""
    for name, argument in members:
        if str(name) == "NEGATE":
            source += "^"
        elif str(name) == "LITERAL":
            source += re.escape(chr(argument))
        elif str(name) == "RANGE":
            source += f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
        else:
            source += _CATEGORIES[str(argument)]
    return f"[{source}]"

"""With which characters a text can begin that a pattern matches: most lines need no pattern to be tried at all."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["first_characters"]

_ALL = frozenset(map(chr, range(128)))


def first_characters(pattern: re.Pattern[str]) -> frozenset[str] | None:
    """The ASCII characters at the start of what ``pattern`` matches; None where it may match anywhere or anything.

    A pattern that is anchored with ``^`` and says how it begins has an answer. Any other character is left to the
    caller to try.
    """
    if not pattern.pattern.startswith("^") or pattern.flags & (re.IGNORECASE | re.MULTILINE):
        return None
    try:
        parse: Any = vars(re)["_parser"].parse
        chars, empty = _sequence(list(parse(pattern.pattern)))
    except (KeyError, AttributeError, ValueError, TypeError):  # another Python's parser: no answer is never wrong
        return None
    return None if empty else chars


def _sequence(items: list[Any]) -> tuple[frozenset[str], bool]:
    """What a sequence can begin with, and whether it can be empty."""
    chars: frozenset[str] = frozenset()
    for item in items:
        own, empty = _item(item)
        chars |= own
        if not empty:
            return chars, False
    return chars, True


def _item(item: tuple[Any, Any]) -> tuple[frozenset[str], bool]:
    name, argument = str(item[0]), item[1]
    if name == "LITERAL":
        return frozenset({chr(argument)}), False
    if name == "IN":
        members = re.compile(_class_source(argument))
        return frozenset(char for char in _ALL if members.match(char)), False
    if name in ("AT", "ASSERT", "ASSERT_NOT"):
        return frozenset(), True
    if name == "SUBPATTERN":
        return _sequence(list(argument[-1]))
    if name == "BRANCH":
        parts = [_sequence(list(branch)) for branch in argument[1]]
        return frozenset().union(*(chars for chars, _ in parts)), any(empty for _, empty in parts)
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        chars, empty = _sequence(list(argument[2]))
        return chars, empty or argument[0] == 0
    return _ALL, False


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

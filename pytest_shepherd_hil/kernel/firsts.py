"""With which characters a text can begin that a pattern matches: most lines need no pattern to be tried at all."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["first_characters", "may_begin"]

_ALL = frozenset(map(chr, range(128)))


@lru_cache(maxsize=512)
def first_characters(pattern: re.Pattern[str]) -> frozenset[str] | None:
    """The ASCII characters at the start of what ``pattern`` matches; None where it may match anywhere or anything.

    A pattern that is anchored with ``^`` and says how it begins has an answer. Any other character is left to the
    caller to try.
    """
    items = _parsed(pattern)
    if items is None:
        return None
    try:
        texts = _firsts(items)
    except ValueError:
        return None
    return None if "" in texts else texts


def may_begin(pattern: re.Pattern[str], beginning: str) -> bool:
    """False where no text with this beginning is one that ``pattern`` matches."""
    items = _parsed(pattern)
    if items is None:
        return True
    try:
        return bool(_after(items, beginning, frozenset({0})))
    except ValueError:
        return True


@lru_cache(maxsize=512)
def _parsed(pattern: re.Pattern[str]) -> list[Any] | None:
    """The parts of an anchored pattern; None where it is none, or where another Python's parser is another."""
    if not pattern.pattern.startswith("^") or pattern.flags & (re.IGNORECASE | re.MULTILINE):
        return None
    try:
        return list(vars(re)["_parser"].parse(pattern.pattern))
    except (KeyError, AttributeError, ValueError, TypeError):
        return None


def _firsts(items: list[Any]) -> frozenset[str]:
    """The characters with which a sequence can begin; with an empty text where it can be empty."""
    texts: frozenset[str] = frozenset({""})
    for name, argument in items:
        if "" not in texts:
            break
        texts = (texts - {""}) | _first(str(name), argument)
    return texts


def _first(name: str, argument: Any) -> frozenset[str]:
    if name == "LITERAL":
        return frozenset({chr(argument)})
    if name == "IN":
        return frozenset(filter(_members(_class_source(argument)), _ALL))
    if name in _EMPTY:
        return frozenset({""})
    if name == "SUBPATTERN":
        return _firsts(list(argument[-1]))
    if name == "BRANCH":
        return frozenset().union(*(_firsts(list(branch)) for branch in argument[1]))
    if name in _REPEATS:
        texts = _firsts(list(argument[2]))
        return texts if argument[0] else texts | {""}
    if name in ("ANY", "NOT_LITERAL"):
        return _ALL
    raise ValueError(name)


def _after(items: list[Any], text: str, starts: frozenset[int]) -> frozenset[int]:
    """How much of a text a sequence can have taken that began at one of ``starts``; all of it, if it goes on longer."""
    for name, argument in items:
        if not starts or starts == {len(text)}:
            break
        starts = _behind(str(name), argument, text, starts)
    return starts


def _behind(name: str, argument: Any, text: str, starts: frozenset[int]) -> frozenset[int]:
    if name in _EMPTY:
        return starts
    if name == "SUBPATTERN":
        return _after(list(argument[-1]), text, starts)
    if name == "BRANCH":
        return frozenset().union(*(_after(list(branch), text, starts) for branch in argument[1]))
    if name in _REPEATS:
        least, most, repeated = argument
        ends = starts if least == 0 else frozenset()
        for count in range(1, min(int(most), int(least) + len(text)) + 1):
            starts = _after(list(repeated), text, starts)
            if count >= least:
                ends |= starts
            elif starts == {len(text)}:
                return starts
        return ends
    fits: Callable[[str], object]
    if name == "LITERAL":
        fits = chr(argument).__eq__
    elif name == "NOT_LITERAL":
        fits = chr(argument).__ne__
    elif name == "IN":
        fits = _members(_class_source(argument))
    elif name == "ANY":
        fits = "\n".__ne__
    else:
        raise ValueError(name)
    return frozenset(min(at + 1, len(text)) for at in starts if at == len(text) or fits(text[at]))


_EMPTY = ("AT", "ASSERT", "ASSERT_NOT")
_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
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


@lru_cache(maxsize=256)
def _members(source: str) -> Callable[[str], object]:
    """Tells whether a character is of a class."""
    return re.compile(source).match

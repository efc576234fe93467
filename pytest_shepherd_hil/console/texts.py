"""Texts of which one stands in whatever a pattern matches: to look for them is much quicker than to try the pattern."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

__all__ = ["texts_of"]

_MOST = 16
"""To look for more texts than this is not quicker any more."""


@lru_cache(maxsize=64)
def texts_of(pattern: re.Pattern[str]) -> tuple[str, ...]:
    """The texts; none where there is nothing that everything has which the pattern matches."""
    try:  # the parser of another Python may be another
        items = list(vars(re)["_parser"].parse(pattern.pattern, pattern.flags))
        return tuple(sorted(_best(items, pattern.flags)))
    except (KeyError, AttributeError, ValueError, TypeError, RecursionError):
        return ()


def _best(items: list[Any], flags: int) -> frozenset[str]:
    """Of the texts of each part of a sequence the best, since all of its parts are in what it matches."""
    found: list[frozenset[str]] = []
    run = ""
    for name, argument in [*((str(name), argument) for name, argument in items), ("END", None)]:
        if name == "LITERAL" and not flags & re.IGNORECASE:
            run += chr(argument)
            continue
        if run:
            found.append(frozenset({run}))
            run = ""
        found.append(_of_part(name, argument, flags))
    found = [texts for texts in found if texts and len(texts) <= _MOST]
    return max(found, key=lambda texts: (min(map(len, texts)), -len(texts)), default=frozenset())


def _of_part(name: str, argument: Any, flags: int) -> frozenset[str]:
    if name == "SUBPATTERN":
        _, more, less, items = argument
        return _best(list(items), (flags | more) & ~less)
    if name == "BRANCH":
        branches = [_best(list(items), flags) for items in argument[1]]
        return frozenset().union(*branches) if all(branches) else frozenset()
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and argument[0] > 0:
        return _best(list(argument[2]), flags)
    return frozenset()

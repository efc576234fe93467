"""Words about what stands in a TOML file, for its faults."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["closest", "nearest", "quoted", "shown", "toml_type"]


def nearest(word: str, valid: Iterable[str]) -> str:
    """What to say of an unknown word: the nearest valid one, or all of them."""
    valid = list(valid)
    near = closest(word, valid, 1)
    return f"did you mean {near[0]!r}?" if near else f"valid here: {', '.join(valid)}"


def closest(word: str, valid: Iterable[str], most: int) -> list[str]:
    """The valid words that are nearest to ``word``, whatever its case."""
    by_case = {name.casefold(): name for name in valid}
    return [by_case[near] for near in difflib.get_close_matches(word.casefold(), by_case, n=most, cutoff=0.5)]


def quoted(value: object) -> str:
    """Something of the file's, fit to be shown: what is hostile or long in it does no harm."""
    return printable(repr(value), 100)


def shown(path: Path) -> str:
    """A file's name, fit to be shown."""
    return printable(str(path), 4096)


def toml_type(value: object) -> str:
    """What TOML calls something."""
    names = {str: "a string", int: "a number", float: "a number", bool: "a boolean", list: "an array", dict: "a table"}
    return names.get(type(value), type(value).__name__)

"""The fast no: most lines of a console are healthy, and are to cost next to nothing."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.firsts import first_characters, may_begin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_shepherd_hil.kernel.rules import Rule

__all__ = ["KEY", "Gate", "Gates"]

_GENERAL = 20
"""A rule that may begin with more characters than this is looked for by its texts, not by its beginning."""
KEY = 3
"""So many first characters of a message tell which rules come into question."""
_MAX_GATES = 4096
_COMMON = 5
"""So many characters in common make two texts worth one look."""

Gate = tuple["Callable[[str], re.Match[str] | None] | None", tuple[str, ...]]
"""What matches wherever one of some rules may (None: these are none), and texts of which others' lines have one."""
_BEGINNING = re.compile(r"(?:\w|\\\.){3,}(?:\(\?:[^()|]*\)\?)?(?:: )?(?![?*+{])")
_OPEN: Gate = (None, ("",))
"""Each message has this text: a rule may match."""


class Gates(dict[str, Gate]):
    """For the first three characters of a message its gate, made when it is first asked for; bounded in number."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__()
        firsts = [(rule, first_characters(rule.pattern)) for rule in rules]
        general = {rule.id for rule, first in firsts if rule.contains and (first is None or len(first) > _GENERAL)}
        self._general = [(rule, first) for rule, first in firsts if rule.id in general]
        self._special = [(rule, first) for rule, first in firsts if rule.id not in general]
        self._made: dict[tuple[str, ...], Gate] = {}

    def __missing__(self, beginning: str) -> Gate:
        if len(beginning) < KEY or not beginning.isascii():
            return _OPEN
        if len(self) >= _MAX_GATES:
            self.clear()
        rules = _beginning_with(beginning, self._special)
        general = _beginning_with(beginning, self._general)
        ids = tuple(rule.id for rule in (*rules, *general))
        if ids not in self._made:
            if len(self._made) >= _MAX_GATES:
                self._made.clear()
            self._made[ids] = _gate(rules, _shortened([text for rule in general for text in rule.contains]))
        gate = self[beginning] = self._made[ids]
        return gate

    def may_match(self, message: str) -> bool:
        """False where no rule matches."""
        match, texts = self[message[:KEY]]
        if match is not None and match(message):
            return True
        for text in texts:  # noqa: SIM110  any() is several times slower
            if text in message:
                return True
        return False


def _beginning_with(beginning: str, rules: list[tuple[Rule, frozenset[str] | None]]) -> list[Rule]:
    """The rules that may match a message with this beginning."""
    return [
        rule for rule, first in rules if first is None or (beginning[0] in first and may_begin(rule.pattern, beginning))
    ]


def _shortened(texts: list[str]) -> tuple[str, ...]:
    """Texts of which each message that has one of the given has one; fewer, where these have something in common."""
    short: list[str] = []
    for text in dict.fromkeys(texts):
        for index, other in enumerate(short):
            shared = _in_common(text, other)
            if len(shared) >= _COMMON:
                short[index] = shared
                break
        else:
            short.append(text)
    return tuple(short)


@lru_cache(maxsize=1024)
def _in_common(text: str, other: str) -> str:
    pieces = (text[a:b] for a in range(len(text)) for b in range(a + 1, len(text) + 1))
    return max((piece for piece in pieces if piece in other and " " not in piece), key=len, default="")


def _gate(rules: Sequence[Rule], texts: tuple[str, ...]) -> Gate:
    """One pattern that matches wherever one of the rules does; an open gate where they cannot be put together."""
    if not rules:
        return None, texts
    endings: dict[str, list[str]] = {}
    for rule in rules:
        source = rule.pattern.pattern
        if not source.startswith("^") or re.search(r"\(\?P=|\(\?\(|\\\d|\(\?[aiLmsux]|\|\^", source):
            return _OPEN
        if _has_top_level_choice(source):
            return _OPEN
        source = re.sub(r"\(\?P<\w+>", "(?:", source[1:])
        beginning = match[0] if (match := _BEGINNING.match(source)) else ""
        endings.setdefault(beginning, []).append(f"(?:{source[len(beginning) :]})")
    try:  # what many rules begin with is looked for once
        pattern = re.compile("|".join(f"{beginning}(?:{'|'.join(some)})" for beginning, some in endings.items()))
    except re.error:
        return _OPEN
    return pattern.match, texts


def _has_top_level_choice(source: str) -> bool:
    """Whether ``^`` binds to the first alternative only, as in ``^a|b``."""
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "", source)
    depth = 0
    for char in bare:
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            return True
    return False

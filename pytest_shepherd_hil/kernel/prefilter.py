"""Where in bytes a line can be that a rule matches. A mere filter: with and without it the answers are the same."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.kernel.rules import Rules

__all__ = ["Prefilter"]

# What the kernel says before a boot, or a trace that is no crash's, and characters that may hide a text:
# parse_line takes them out.
_BESIDES = (
    *("reboot: ", "Starting new kernel", "ysrq: ", "ysRq"),
    *(
        "FAULT_INJECTION: forcing",
        "potentially unexpected fatal",
        "]: segfault",
        "]: unhandled",
        "] general protection",
    ),
    *("] trap ", "]: bad frame"),
)
_HIDING = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\r\n]"


_HIDDEN = re.compile(_HIDING.encode())


class Prefilter:
    """Finds the places at which one of the rules' texts stands."""

    def __init__(self, texts: Sequence[str], database: Any, alone: int = 0) -> None:
        """``alone``: so many of the texts, the first ones, count only where no report is open."""
        self._texts = texts
        self._database = database
        self._alone = alone

    @classmethod
    def of(cls, rules: Rules, *besides: str) -> Prefilter:
        """The filter for these rules and other texts; one that lets everything pass where a rule names no texts."""
        return _prefilter(rules.texts, rules.in_reports.texts, besides)

    def candidates(self, data: bytes, inside: list[int] | None = None) -> Sequence[int] | None:
        """Offsets of which each candidate line has at least one, in order; None: any line may be one.

        ``inside`` gets those that count while a report is open, too.
        """
        if not self._texts:
            return None
        found: list[int] = []
        inside = [] if inside is None else inside
        if self._database is None:
            for number, text in enumerate((*self._texts, *_BESIDES)):
                needle = text.encode()
                position = data.find(needle)
                while position >= 0:
                    found.append(position)
                    if number >= self._alone:
                        inside.append(position)
                    position = data.find(needle, position + 1)
            hidden = [match.start() for match in _HIDDEN.finditer(data)]
            found.extend(hidden)
            inside.extend(hidden)
            found.sort()
            inside.sort()
            return found

        alone = self._alone

        def note(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            found.append(end - 1)
            if number >= alone:
                inside.append(end - 1)

        self._database.scan(data, match_event_handler=note)
        return found


@cache
def _prefilter(texts: tuple[str, ...], inside: tuple[str, ...], besides: tuple[str, ...]) -> Prefilter:
    if not texts:
        return Prefilter((), None)
    alone = tuple(sorted({*texts} - {*inside}))
    texts = (*alone, *inside, *besides)
    return Prefilter(texts, _compiled(texts), len(alone))


def _compiled(texts: tuple[str, ...]) -> Any:
    """A hyperscan database of the texts; None where hyperscan is not installed."""
    try:
        hyperscan: Any = importlib.import_module("hyperscan")
    except ImportError:
        return None
    expressions = [re.escape(text).encode() for text in (*texts, *_BESIDES)] + [_HIDING.encode()]
    database = hyperscan.Database()
    database.compile(expressions=expressions, ids=list(range(len(expressions))), flags=[0] * len(expressions))
    return database

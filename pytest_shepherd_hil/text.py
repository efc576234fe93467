"""Console text made safe to show: whatever a board says, a terminal shows it and does not obey it."""

from __future__ import annotations

import hashlib
import re

__all__ = ["file_name", "first_line", "printable"]

_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]{0,32}[ -/]{0,4}[@-~]|[@-Z\\-_])")


def printable(text: str, limit: int = 500) -> str:
    """One line of text without anything a terminal would act on, cut at ``limit`` characters.

    Colour and cursor sequences are dropped, other control and direction characters become ``\\xNN``.
    """
    text = _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), _ESCAPE.sub("", text))
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text)} characters)"


def file_name(text: str, limit: int = 80) -> str:
    """A file name made of any text: letters, digits, ``._-`` only, never hidden, unique for the text."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")
    if plain and plain == text and len(plain) <= limit:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{plain[-limit:].strip('-.') or 'test'}-{digest}"


def first_line(error: BaseException) -> str:
    """What an exception says, in one line fit to be shown."""
    return printable(str(error).partition("\n")[0]) or type(error).__name__

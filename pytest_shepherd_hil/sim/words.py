"""A shell's words: where they begin and end, what is quoted, what is a variable."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Arrow", "Incomplete", "Part", "SyntaxFault", "Token", "Word", "tokenize"]

_OPERATORS = ("&&", "||", ";", "|", "&", "\n", "(", ")")
_NAME_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"


class SyntaxFault(Exception):  # noqa: N818 -- it is the board's error, not ours
    """What dash would say about it."""


class Incomplete(SyntaxFault):
    """The text ends before the command does."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a word: literal text or a variable's name."""

    text: str
    quoted: bool
    variable: bool = False


Word = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Arrow:
    """A redirection's beginning: which descriptor, and one of ``< > >> >&``."""

    fd: int
    operator: str


Token = str | Word | Arrow


def tokenize(text: str) -> list[Token]:
    """A script's operators, redirections and words.

    Raises:
        Incomplete: a quote is not closed.
        SyntaxFault: it has what this shell lacks.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in " \t":
            at += 1
        elif text.startswith("\\\n", at):
            at += 2
        elif char == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
        elif operator := next((op for op in _OPERATORS if text.startswith(op, at)), None):
            tokens.append(operator)
            at += len(operator)
        elif (char in "<>") or (char in "012" and text[at + 1 : at + 2] in ("<", ">")):
            fd = int(char) if char in "012" else int(char == ">")
            at += char in "012"
            operator = next(op for op in (">>", ">&", ">|", "<<", ">", "<") if text.startswith(op, at))
            if operator == "<<":
                raise SyntaxFault("Syntax error: redirection unexpected")
            tokens.append(Arrow(fd, ">" if operator == ">|" else operator))
            at += len(operator)
        else:
            word, at = _word(text, at)
            tokens.append(word)
    return tokens


def _word(text: str, at: int) -> tuple[Word, int]:
    parts: list[Part] = []
    quoted = False
    while at < len(text):
        char = text[at]
        if not quoted and (char in " \t\n;|&<>()"):
            break
        if char == "\\":
            following = text[at + 1 : at + 2]
            at += 2
            if not following:
                raise Incomplete("Syntax error: Unterminated quoted string")
            if following != "\n":
                keep = quoted and following not in '$`"\\'
                parts.append(Part("\\" + following if keep else following, True))
        elif char == "'" and not quoted:
            end = text.find("'", at + 1)
            if end < 0:
                raise Incomplete("Syntax error: Unterminated quoted string")
            parts.append(Part(text[at + 1 : end], True))
            at = end + 1
        elif char == '"':
            quoted = not quoted
            parts.append(Part("", True))
            at += 1
        elif char == "`" or text.startswith("$(", at):
            raise SyntaxFault(f'Syntax error: "{"`" if char == "`" else "("}" unexpected')
        elif char == "$":
            part, at = _variable(text, at, quoted)
            parts.append(part)
        else:
            parts.append(Part(char, quoted))
            at += 1
    if quoted:
        raise Incomplete("Syntax error: Unterminated quoted string")
    return tuple(parts), at


def _variable(text: str, at: int, quoted: bool) -> tuple[Part, int]:
    following = text[at + 1 : at + 2]
    if following and following in "?$#!*@0123456789":
        return Part(following, quoted, True), at + 2
    if following == "{":
        end = text.find("}", at)
        name = text[at + 2 : end]
        if end < 0 or not name.replace("_", "a").isalnum():
            raise SyntaxFault("Bad substitution")
        return Part(name, quoted, True), end + 1
    end = at + 1
    while end < len(text) and (text[end] in _NAME_FIRST or (end > at + 1 and text[end].isdigit())):
        end += 1
    if end == at + 1:
        return Part("$", quoted), end
    return Part(text[at + 1 : end], quoted, True), end

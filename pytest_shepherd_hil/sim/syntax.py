"""A shell's grammar, as much of it as a test's command lines use: text in, a tree of commands out."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_shepherd_hil.sim.words import Arrow, Incomplete, Part, SyntaxFault, Token, Word, tokenize

__all__ = [
    "Command",
    "For",
    "Group",
    "If",
    "Incomplete",
    "List",
    "Loop",
    "Part",
    "Pipeline",
    "Redirect",
    "Simple",
    "SyntaxFault",
    "Word",
    "parse",
]

_DEPTH_MAX = 30


@dataclass(frozen=True, slots=True)
class Redirect:
    """``fd operator target``; operator is one of ``< > >> >&``."""

    fd: int
    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """A command with its words."""

    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class If:
    """``if`` with its branches; the last condition may be None (else)."""

    branches: tuple[tuple[List | None, List], ...]
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    """``while``, or ``until``."""

    condition: List
    body: List
    until: bool
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class For:
    """``for name in words``."""

    name: str
    words: tuple[Word, ...]
    body: List
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """``{ … }`` or ``( … )``."""

    body: List
    redirects: tuple[Redirect, ...] = ()


Command = Simple | If | Loop | For | Group


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by ``|``."""

    commands: tuple[Command, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class List:
    """Pipelines, each with the operator before it: ``;``, ``&&`` or ``||``."""

    items: tuple[tuple[str, Pipeline], ...]


def parse(text: str) -> List:
    """The commands of a piece of script.

    Raises:
        Incomplete: more lines are needed.
        SyntaxFault: it is not what this shell understands.
    """
    parser = _Parser(tokenize(text))
    found = parser.list_until(())
    if parser.here() is not None:
        raise SyntaxFault(f"Syntax error: {parser.shown()} unexpected")
    return found


def _plain(token: Token | None) -> str | None:
    """A word's text if nothing in it is quoted or a variable."""
    if not isinstance(token, tuple) or any(part.quoted or part.variable for part in token):
        return None
    return "".join(part.text for part in token)


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def here(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def shown(self) -> str:
        token = self.here()
        if token is None:
            return "end of file"
        text = token if isinstance(token, str) else (_plain(token) or "word")
        return "newline" if text == "\n" else f'"{text}"'

    def list_until(self, ends: tuple[str, ...]) -> List:
        items: list[tuple[str, Pipeline]] = []
        joined = ";"
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise SyntaxFault("Syntax error: too deep")
        while True:
            while self.here() == "\n" or (self.here() == ";" and items and joined == ";"):
                self._at += 1
            if self.here() is None:
                if ends or joined != ";":
                    raise Incomplete("Syntax error: end of file unexpected")
                break
            if self.here() == ")" or _plain(self.here()) in ends:
                break
            items.append((joined, self._pipeline()))
            joined = ";"
            if self.here() in ("&&", "||"):
                joined = str(self.here())
                self._at += 1
            elif self.here() in (";", "\n", "&"):
                self._at += 1
            elif self.here() is not None and self.here() != ")" and _plain(self.here()) not in ends:
                raise SyntaxFault(f"Syntax error: {self.shown()} unexpected")
        self._depth -= 1
        return List(tuple(items))

    def _pipeline(self) -> Pipeline:
        negated = _plain(self.here()) == "!"
        self._at += negated
        commands = [self._command()]
        while self.here() == "|":
            self._at += 1
            while self.here() == "\n":
                self._at += 1
            commands.append(self._command())
        return Pipeline(tuple(commands), negated)

    def _command(self) -> Command:
        if self.here() is None:
            raise Incomplete("Syntax error: end of file unexpected")
        word = _plain(self.here())
        if self.here() == "(":
            self._at += 1
            body = self.list_until((")",))
            self._operator(")")
            return Group(body, self._redirects())
        match word:
            case "{":
                self._at += 1
                body = self.list_until(("}",))
                self._keyword("}")
                return Group(body, self._redirects())
            case "if":
                return self._if()
            case "while" | "until":
                self._at += 1
                condition = self.list_until(("do",))
                return Loop(condition, self._body(), word == "until", self._redirects())
            case "for":
                return self._for()
            case "then" | "else" | "elif" | "fi" | "do" | "done" | "case" | "esac" | "}":
                raise SyntaxFault(f'Syntax error: "{word}" unexpected')
        return self._simple()

    def _if(self) -> If:
        branches: list[tuple[List | None, List]] = []
        while _plain(self.here()) in ("if", "elif"):
            self._at += 1
            condition = self.list_until(("then",))
            self._keyword("then")
            branches.append((condition, self.list_until(("elif", "else", "fi"))))
        if _plain(self.here()) == "else":
            self._at += 1
            branches.append((None, self.list_until(("fi",))))
        self._keyword("fi")
        return If(tuple(branches), self._redirects())

    def _for(self) -> For:
        self._at += 1
        name = _plain(self.here())
        if name is None or not name.isidentifier():
            raise SyntaxFault("Syntax error: Bad for loop variable")
        self._at += 1
        words: list[Word] = []
        if _plain(self.here()) == "in":
            self._at += 1
            while isinstance(self.here(), tuple):
                words.append(self._take_word())
        while self.here() in (";", "\n"):
            self._at += 1
        return For(name, tuple(words), self._body(), self._redirects())

    def _body(self) -> List:
        self._keyword("do")
        body = self.list_until(("done",))
        self._keyword("done")
        return body

    def _simple(self) -> Simple:
        words: list[Word] = []
        redirects: list[Redirect] = []
        while (token := self.here()) is not None and not isinstance(token, str):
            if isinstance(token, Arrow):
                redirects.append(self._redirect())
            else:
                words.append(self._take_word())
        if not words and not redirects:
            raise SyntaxFault(f"Syntax error: {self.shown()} unexpected")
        return Simple(tuple(words), tuple(redirects))

    def _redirects(self) -> tuple[Redirect, ...]:
        found = []
        while isinstance(self.here(), Arrow):
            found.append(self._redirect())
        return tuple(found)

    def _redirect(self) -> Redirect:
        token = self.here()
        assert isinstance(token, Arrow)
        self._at += 1
        return Redirect(token.fd, token.operator, self._take_word())

    def _take_word(self) -> Word:
        token = self.here()
        if not isinstance(token, tuple):
            raise SyntaxFault(f"Syntax error: {self.shown()} unexpected")
        self._at += 1
        return token

    def _keyword(self, word: str) -> None:
        if _plain(self.here()) != word:
            if self.here() is None:
                raise Incomplete("Syntax error: end of file unexpected")
            raise SyntaxFault(f'Syntax error: {self.shown()} unexpected (expecting "{word}")')
        self._at += 1

    def _operator(self, operator: str) -> None:
        if self.here() != operator:
            raise Incomplete("Syntax error: end of file unexpected")
        self._at += 1

"""What counts as an incident, as data: ``rules.toml`` and the rules of users.

A rule is a table ``[rules.<id>]`` with

``kind``, ``severity``
    what it finds (a known kind or one of your own) and what that does to a test: ``fail``, ``warn``, ``info``
``pattern``
    a regular expression that is searched in the message (prefix and kernel time are gone); anchor it with ``^``, so
    that neither a command that somebody types nor prose about a crash is one. The first 1024 characters are looked at.
``not`` (optional)
    a regular expression that must not be found in the message
``example``
    a line, with or without prefix, that the rule must match
``title`` (optional)
    the headline; ``{name}`` is a named group of the pattern, ``{message}`` the message, ``{size}`` how much the group
    ``pages`` would be, as ``14.9 MiB at 4 KiB a page``. Without it the title is the message.
``report`` (optional)
    the line begins a report of many lines: ``oops``, ``panic``, ``trace``; or it is a banner of the boot: ``boot``
``consequence_of`` (optional), ``within_s``, ``within_lines``
    kinds or ids of rules: soon after an incident of these the line is a consequence of it, not an incident of its own.
    Soon means so many seconds of kernel time, or so many lines where the console shows no times.
``refines`` (optional)
    kinds or ids of rules: in an open report of these, before its trace, the line makes it a report of this rule
``repeats`` (optional)
    true where the kernel reports again and again while it lasts: the same again soon after is a consequence
``same_as`` (optional)
    kinds: within ``within_s`` after a report of one of these that names the same function and the same task or cpu, the
    report is a consequence of that one, if nothing was printed in between or it tells that it has lasted since then
``contains`` (optional)
    texts of which each matching line has at least one. Makes a scan of whole files fast; leave it out if in doubt.
``remains`` (optional)
    true for a line from the middle of a report: it counts only where no report is open and none has just ended
``adds`` (optional)
    what a consequence adds to the title of its cause, after an arrow
"""

from __future__ import annotations

import difflib
import re
import string
import tomllib
from dataclasses import dataclass, fields
from importlib import resources
from typing import TYPE_CHECKING, cast

from pytest_shepherd_hil.kernel.firsts import first_characters
from pytest_shepherd_hil.kernel.gates import Gates
from pytest_shepherd_hil.kernel.incident import Severity
from pytest_shepherd_hil.kernel.lines import parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["KEYS", "Hit", "Rule", "RuleError", "Rules", "load_rules", "read_rule", "size_of_pages"]

_LOOKED_AT = 1024
"""Characters of a message that are looked at; printk itself cuts a message at less than this."""

KEYS: dict[str, type | tuple[type, ...]] = {
    "kind": str,
    "severity": str,
    "pattern": str,
    "not": str,
    "example": str,
    "title": str,
    "report": str,
    "consequence_of": list,
    "within_s": (int, float),
    "within_lines": int,
    "adds": str,
    "refines": list,
    "repeats": bool,
    "same_as": list,
    "remains": bool,
    "contains": list,
}
"""The keys of a rule's table, and of what type their values are."""
_REQUIRED = ("kind", "severity", "pattern", "example")
_REPORTS = ("oops", "panic", "trace", "boot")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class RuleError(ValueError):
    """A rule file is not what it should be; names the file, the rule and, for a bad pattern, the column."""


@dataclass(slots=True, frozen=True)
class Rule:
    """One rule; the fields are those of ``rules.toml``, with ``not`` as ``unless``."""

    id: str
    kind: str
    severity: Severity
    pattern: re.Pattern[str]
    example: str
    unless: re.Pattern[str] | None = None
    title: str | None = None
    report: str | None = None
    consequence_of: tuple[str, ...] = ()
    within_s: float = 2.0
    within_lines: int = 20
    adds: str | None = None
    refines: tuple[str, ...] = ()
    repeats: bool = False
    same_as: tuple[str, ...] = ()
    remains: bool = False
    contains: tuple[str, ...] = ()

    def search(self, message: str) -> re.Match[str] | None:
        """Where the rule finds itself in a message."""
        match = self.pattern.search(message, 0, _LOOKED_AT)
        if match is None or (self.unless is not None and self.unless.search(message, 0, _LOOKED_AT)):
            return None
        return match

    def to_table(self) -> dict[str, object]:
        """All keys that a rule can have, as ``rules.toml`` names them, and plain values; None or empty: not set."""
        table: dict[str, object] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, re.Pattern):
                value = value.pattern
            elif isinstance(value, Severity):
                value = str(value)
            elif isinstance(value, tuple):
                value = list(value)
            table["not" if field.name == "unless" else field.name] = value
        return table


@dataclass(slots=True, frozen=True)
class Hit:
    """A rule that matched a message."""

    rule: Rule
    match: re.Match[str]

    def render(self, template: str | None) -> str:
        """A title from its template; the message where there is none."""
        message = self.match.string[:_LOOKED_AT]
        if template is None:
            return message
        groups = {name: value or "" for name, value in self.match.groupdict().items()}
        size = size_of_pages(int(groups["pages"])) if groups.get("pages", "").isdecimal() else ""
        return template.format_map({"size": size, **groups, "message": message}).strip()


def size_of_pages(pages: int) -> str:
    """How much some pages are; how large one is the kernel does not say: mostly 4 KiB, on some ARM64 16 or 64."""
    size = f"{pages * 4} KiB" if pages < 256 else f"{pages / 256:.1f} MiB"
    return f"{size} at 4 KiB a page"


@dataclass(slots=True, frozen=True)
class Rules:
    """An ordered set of rules; the first that matches decides."""

    rules: tuple[Rule, ...]
    by_first: Mapping[str, tuple[Rule, ...]]
    """For the first character of a message, the rules that may match it."""
    gates: Gates
    """For its first three characters, what tells a message that no rule matches."""
    _texts: tuple[str, ...] = ()
    _others: Rules | None = None
    """The rules without ``remains``, where some have that."""

    @classmethod
    def of(cls, rules: tuple[Rule, ...]) -> Rules:
        """Rules with a prefilter by the first character of a message, to pass over healthy lines."""
        firsts = [(rule, first_characters(rule.pattern)) for rule in rules]
        by_first = {
            char: tuple(rule for rule, chars in firsts if chars is None or char in chars)
            for char in map(chr, range(128))
        }
        known = {char: some for char, some in by_first.items() if some}
        named = {text for rule in rules for text in rule.contains} if all(rule.contains for rule in rules) else set()
        others = tuple(rule for rule in rules if not rule.remains)
        within = cls.of(others) if len(others) < len(rules) else None
        return cls(rules, known, Gates(rules), tuple(sorted(named)), within)

    @property
    def texts(self) -> tuple[str, ...]:
        """Texts of which each line that a rule matches has one; empty where some rule names none."""
        return self._texts

    @property
    def in_reports(self) -> Rules:
        """Those that count while a report is open: without ``remains``."""
        return self._others or self

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def __getitem__(self, rule_id: str) -> Rule:
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)

    def match(self, message: str) -> Hit | None:
        """The first rule that matches, or None: most lines are healthy."""
        if not self.may_match(message):
            return None
        first = message[:1]
        for rule in self.by_first.get(first, ()) if first.isascii() else self.rules:
            if match := rule.search(message):
                return Hit(rule, match)
        return None

    def may_match(self, message: str) -> bool:
        """False where no rule matches; made to be fast on healthy lines."""
        return self.gates.may_match(message)


def load_rules(path: Path | None = None) -> Rules:
    """The rules of a file, or the packaged ones.

    Raises:
        RuleError: the file cannot be read or a rule of it is wrong.
    """
    try:
        if path is None:
            name = "rules.toml"
            text = (resources.files(__package__) / name).read_text(encoding="utf-8")
        else:
            name = str(path)
            text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError(f"{name}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"{name}: is not TOML: {error}") from error
    tables = document.pop("rules", None)
    if document:
        raise RuleError(f"{name}: unknown table or key {next(iter(document))!r}; rules are tables [rules.<id>]")
    if not isinstance(tables, dict):
        raise RuleError(f"{name}: has no rules; a rule is a table [rules.<id>]")
    return Rules.of(tuple(read_rule(name, rule_id, table) for rule_id, table in tables.items()))


def read_rule(file: str, rule_id: str, table: object) -> Rule:
    """One rule from its table.

    Args:
        file: where the table is from, as errors name it.
        rule_id: what stands behind ``rules.`` in its header.
        table: its keys and values, as TOML has them; see the top of this module.

    Raises:
        RuleError: a key is unknown, missing or wrong, the pattern is no regular expression, or the rule does not
            find its own example; names ``file``, ``rule_id`` and, for a pattern, the column.
    """
    where = f"{file}: rule {rule_id!r}"
    if not _NAME.fullmatch(rule_id):
        raise RuleError(f"{where}: an id has only letters, digits, '-', '_' and '.'")
    if not isinstance(table, dict):
        raise RuleError(f"{where}: is not a table; write it as [rules.{rule_id}]")
    values = cast("Mapping[str, object]", table)
    for key, value in values.items():
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            raise RuleError(f"{where}: unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if not isinstance(value, KEYS[key]) or (isinstance(value, bool) and KEYS[key] is not bool):
            raise RuleError(f"{where}: {key} = {value!r} has the wrong type")
    for key in _REQUIRED:
        if not values.get(key):
            raise RuleError(f"{where}: {key} is missing")
    severity = values["severity"]
    if severity not in set(Severity):
        raise RuleError(f"{where}: severity = {severity!r} is none of {', '.join(Severity)}")
    if "report" in values and values["report"] not in _REPORTS:
        raise RuleError(f"{where}: report = {values['report']!r} is none of {', '.join(_REPORTS)}")
    lists = {key: cast("list[object]", values.get(key, [])) for key, sort in KEYS.items() if sort is list}
    for key, entries in lists.items():
        if not all(isinstance(entry, str) and entry for entry in entries):
            raise RuleError(f"{where}: {key} is a list of {'texts' if key == 'contains' else 'kinds or ids of rules'}")
    if any(cast("float", values.get(key, 1)) <= 0 for key in ("within_s", "within_lines")):
        raise RuleError(f"{where}: within_s and within_lines are greater than 0")
    pattern = _compile(where, "pattern", str(values["pattern"]))
    rule = Rule(
        id=rule_id,
        kind=str(values["kind"]),
        severity=Severity(str(severity)),
        pattern=pattern,
        example=str(values["example"]),
        unless=_compile(where, "not", str(values["not"])) if "not" in values else None,
        title=cast("str | None", values.get("title")),
        report=cast("str | None", values.get("report")),
        consequence_of=tuple(str(cause) for cause in lists["consequence_of"]),
        refines=tuple(str(kind) for kind in lists["refines"]),
        same_as=tuple(str(kind) for kind in lists["same_as"]),
        repeats=bool(values.get("repeats", False)),
        remains=bool(values.get("remains", False)),
        contains=tuple(str(text) for text in lists["contains"]),
        within_s=float(cast("float", values.get("within_s", 2.0))),
        within_lines=cast("int", values.get("within_lines", 20)),
        adds=cast("str | None", values.get("adds")),
    )
    for key, template in (("title", rule.title), ("adds", rule.adds)):
        _check_template(where, key, template, pattern)
    match = rule.search(parse_line(rule.example.encode(), 0).message)
    if match is None:
        raise RuleError(f"{where}: its pattern does not match its own example {rule.example!r}")
    if rule.contains and not any(text in match.string for text in rule.contains):
        raise RuleError(f"{where}: its example {rule.example!r} has none of the texts in contains")
    for key, template in (("title", rule.title), ("adds", rule.adds)):
        try:
            Hit(rule, match).render(template)
        except (ValueError, LookupError, AttributeError) as error:
            raise RuleError(f"{where}: {key} = {template!r}: {error}") from error
    return rule


def _compile(where: str, key: str, source: str) -> re.Pattern[str]:
    try:
        return re.compile(source)
    except re.error as error:
        column = (error.pos or 0) + 1
        raise RuleError(f"{where}: {key} is no regular expression: {error.msg} at column {column}: {source}") from error


def _check_template(where: str, key: str, template: str | None, pattern: re.Pattern[str]) -> None:
    if template is None:
        return
    known = {*pattern.groupindex, "message", "size"}
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise RuleError(f"{where}: {key} = {template!r}: {error}") from error
    for name in names:
        if name not in known:
            raise RuleError(f"{where}: {key} has {{{name}}}, but the pattern has no group of that name")

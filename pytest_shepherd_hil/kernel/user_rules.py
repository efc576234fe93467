"""Rules of users on top of the packaged ones: new rules, other severities, silence.

A table ``[rules.<id>]`` with a ``pattern`` is a whole rule, as ``rules.py`` describes it. It takes the place of the
packaged rule of that id; a new one is tried before all that were there. A table without a ``pattern`` changes the rule
of that id: its ``severity``, its ``kind``. Severity ``off`` silences a rule: what it finds is not told, unless the
kernel died of it or something else failed as its consequence.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, cast

from pytest_shepherd_hil.kernel.incident import Severity
from pytest_shepherd_hil.kernel.report import normalised
from pytest_shepherd_hil.kernel.rules import Rule, RuleError, Rules, load_rules, read_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_shepherd_hil.kernel.incident import Incident

__all__ = ["OFF", "LayeredRules", "RuleLayer", "layered", "read_layer"]

OFF = "off"
_CHANGEABLE = ("severity", "kind")
_WHOLE = "a rule of your own needs kind, severity, pattern and example"


@dataclass(slots=True, frozen=True)
class RuleLayer:
    """Rules from one place.

    Attributes:
        source: the place, as errors name it: ``boards.toml: board bbb01``.
        tables: by id.
    """

    source: str
    tables: Mapping[str, object]


@dataclass(slots=True, frozen=True)
class LayeredRules:
    """The rules that hold in the end.

    Attributes:
        rules: all of them; those that are silenced too, as their lines belong to nothing else.
        off: ids of those that are silenced.
    """

    rules: Rules
    off: frozenset[str] = frozenset()

    def silences(self, incident: Incident) -> bool:
        """Whether an incident is not to be told."""
        if incident.rule not in self.off or incident.fatal:
            return False
        own = normalised(incident.title)
        return all(normalised(consequence) in own for consequence in incident.consequences)


def read_layer(path: Path) -> RuleLayer:
    """The rules of a file of tables ``[rules.<id>]``.

    Raises:
        RuleError: it cannot be read, or is no TOML, or has something else in it.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RuleError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RuleError(f"{path}: is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise RuleError(f"{path}: is not TOML: {error}") from error
    tables = document.pop("rules", None)
    if document:
        raise RuleError(f"{path}: unknown table or key {next(iter(document))!r}; rules are tables [rules.<id>]")
    if not isinstance(tables, dict):
        raise RuleError(f"{path}: has no rules; a rule is a table [rules.<id>]")
    return RuleLayer(str(path), tables)


def layered(layers: Iterable[RuleLayer], *, more_to_come: bool = False) -> LayeredRules:
    """The packaged rules, changed by each layer in turn.

    Args:
        more_to_come: a rule that is changed but not there is no error: another layer will have it.

    Raises:
        RuleError: a rule is wrong; names the layer's source, the rule and, for a bad pattern, the column.
    """
    layers = tuple(layers)
    packaged = _packaged()
    if not any(layer.tables for layer in layers):
        return LayeredRules(packaged)
    rules = {rule.id: rule for rule in packaged}
    off: set[str] = set()
    for layer in layers:
        new: dict[str, Rule] = {}
        for rule_id, table in layer.tables.items():
            now = rules.get(rule_id)
            if more_to_come and now is None and isinstance(table, dict) and "pattern" not in table:
                continue
            rule = _changed(layer.source, rule_id, table, now, rules)
            (rules if rule_id in rules else new)[rule_id] = rule
            silent = isinstance(table, dict) and table.get("severity") == OFF
            (off.add if silent else off.discard)(rule_id)
        rules = new | rules
    return LayeredRules(Rules.of(tuple(rules.values())), frozenset(off))


@cache
def _packaged() -> Rules:
    return load_rules()


def _changed(source: str, rule_id: str, table: object, now: Rule | None, known: Iterable[str]) -> Rule:
    where = f"{source}: rule {rule_id!r}"
    if not isinstance(table, dict):
        raise RuleError(f"{where}: is not a table; write it as [rules.{rule_id}]")
    values = cast("Mapping[str, object]", table)
    if "pattern" in values:
        if values.get("severity") == OFF:
            values = {**values, "severity": str(Severity.INFO)}
        return read_rule(source, rule_id, values)
    if now is None:
        near = difflib.get_close_matches(rule_id, list(known), 1)
        meant = f"did you mean {near[0]!r}? Otherwise: {_WHOLE}" if near else _WHOLE
        raise RuleError(f"{where}: there is no such rule to change; {meant} (shepherd-hil rules lists all)")
    for key in values:
        if key not in _CHANGEABLE:
            raise RuleError(
                f"{where}: {key!r} of a packaged rule cannot be changed, only {' and '.join(_CHANGEABLE)}; {_WHOLE}"
            )
    kind, severity = values.get("kind", now.kind), values.get("severity", str(now.severity))
    if not isinstance(kind, str) or not kind:
        raise RuleError(f"{where}: kind = {kind!r} is no name of a kind")
    if severity not in {*Severity, OFF}:
        raise RuleError(f"{where}: severity = {severity!r} is none of {', '.join((*Severity, OFF))}")
    return now if severity == OFF else replace(now, kind=kind, severity=Severity(str(severity)))

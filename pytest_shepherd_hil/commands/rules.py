"""``shepherd-hil rules``: what is looked for on a kernel console."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from pytest_shepherd_hil.commands.chosen_rules import chosen_board, chosen_rules
from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.kernel.user_rules import OFF
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    import argparse

    from pytest_shepherd_hil.kernel.rules import Rule

__all__ = ["run"]

WIDTH = 160
_REPORTS = {
    "oops": "begins the report of a crash",
    "panic": "begins the report of a panic",
    "trace": "begins a report with a trace",
    "boot": "shows that the board boots",
}


def run(options: argparse.Namespace) -> int:
    """List the rules; returns the exit status."""
    try:
        rules = chosen_rules(options, chosen_board(options))
    except HilError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for rule in rules.rules:
        severity = OFF if rule.id in rules.off else str(rule.severity)
        print(json.dumps(_plain(rule, severity)) if options.format == "json" else "\n".join(_lines(rule, severity)))
    return 0


def _lines(rule: Rule, severity: str) -> list[str]:
    lines = [f"{rule.id}  ({rule.kind}, {severity})"]
    if rule.title is not None:
        lines.append(f"  says     {rule.title}")
    if rule.report is not None:
        lines.append(f"  it       {_REPORTS.get(rule.report, rule.report)}")
    if rule.consequence_of:
        lines.append(f"  follows  {', '.join(rule.consequence_of)}: then it is part of that incident")
    if rule.refines:
        lines.append(f"  refines  {', '.join(rule.refines)}")
    lines.append(f"  pattern  {rule.pattern.pattern}")
    if rule.unless is not None:
        lines.append(f"  not      {rule.unless.pattern}")
    lines.append(f"  example  {rule.example}")
    return [printable(line, WIDTH) for line in lines]


def _plain(rule: Rule, severity: str) -> dict[str, object]:
    return {
        "id": rule.id,
        "kind": rule.kind,
        "severity": severity,
        "pattern": rule.pattern.pattern,
        "not": rule.unless.pattern if rule.unless is not None else None,
        "example": rule.example,
        "title": rule.title,
        "report": rule.report,
        "consequence_of": list(rule.consequence_of),
        "refines": list(rule.refines),
    }

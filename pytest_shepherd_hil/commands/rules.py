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
        if options.format == "json":
            print(json.dumps(rule.to_table() | {"severity": severity}))
        else:
            print("\n".join(_lines(rule, severity)))
    return 0


def _lines(rule: Rule, severity: str) -> list[str]:
    lines = [f"{rule.id}  ({rule.kind}, {severity})"]
    if rule.title is not None:
        lines.append(f"  says     {rule.title}")
    if rule.report is not None:
        lines.append(f"  it       {_REPORTS.get(rule.report, rule.report)}")
    if rule.consequence_of:
        adds = f" and adds '{rule.adds}'" if rule.adds else ""
        soon = f"within {rule.within_s:g} s"
        lines.append(f"  follows  {', '.join(rule.consequence_of)} {soon}: then it is part of that incident{adds}")
    if rule.same_as:
        lines.append(f"  same as  {', '.join(rule.same_as)} within {rule.within_s:g} s: once more the same incident")
    if rule.repeats:
        lines.append("  lasts    reported again while it lasts: the same incident")
    if rule.remains:
        lines.append("  remains  of a report whose first lines are lost: counts only where no report is open")
    if rule.refines:
        lines.append(f"  refines  {', '.join(rule.refines)}")
    lines.append(f"  pattern  {rule.pattern.pattern}")
    if rule.unless is not None:
        lines.append(f"  not      {rule.unless.pattern}")
    lines.append(f"  example  {rule.example}")
    return [printable(line, WIDTH) for line in lines]

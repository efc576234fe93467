"""``shepherd-hil scan``: the judge of live consoles, for logs on disk."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_shepherd_hil.commands.chosen_rules import chosen_board, chosen_rules
from pytest_shepherd_hil.commands.findings import as_json, as_text, colours
from pytest_shepherd_hil.commands.inputs import Input, find_inputs
from pytest_shepherd_hil.commands.options import NEVER
from pytest_shepherd_hil.commands.output import drop_output
from pytest_shepherd_hil.commands.progress import ProgressBar
from pytest_shepherd_hil.errors import HilError, MisuseError
from pytest_shepherd_hil.evidence.sources import CrashSources, symbol_files
from pytest_shepherd_hil.kernel.incident import Incident, Severity
from pytest_shepherd_hil.kernel.scan import Scanner
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_shepherd_hil.kernel.user_rules import LayeredRules

__all__ = ["run"]

CLEAN, FOUND, UNREADABLE = 0, 1, 2
KEPT = 32
"""Incidents that are held back, for what is still to be said of them."""
SETTLED_LINES = 20_000
"""Lines after which nothing more is said of an incident."""
_RANKS = {Severity.INFO: 0, Severity.WARN: 1, Severity.FAIL: 2}


def run(options: argparse.Namespace) -> int:
    """Scan; returns the exit status."""
    try:
        board = chosen_board(options)
        rules = chosen_rules(options, board)
        for path in options.symbols:
            if not path.is_file():
                raise MisuseError(f"--symbols {printable(str(path))}: there is no such file")
    except HilError as error:
        _complain(error)
        return UNREADABLE
    symbols = tuple(options.symbols) or (symbol_files(board) if board is not None else ())
    scan = _Scan(rules, CrashSources(lambda: symbols), options)
    try:
        return scan.run(options.files)
    except BrokenPipeError:
        raise
    except OSError as error:  # those of reading have been told already
        drop_output()
        _complain(f"cannot write the output: {error.strerror or error}")
        return UNREADABLE


def _complain(error: HilError | str) -> None:
    print(f"error: {error}", file=sys.stderr)


class _Scan:
    """One run over some inputs, and what came of it."""

    def __init__(self, rules: LayeredRules, sources: CrashSources, options: argparse.Namespace) -> None:
        self._rules = rules
        self._sources = sources
        self._json = options.format == "json"
        self._fail_on = None if options.fail_on == NEVER else _RANKS[Severity(options.fail_on)]
        self._colour = colours()
        self._counts = dict.fromkeys(reversed(Severity), 0)
        self._failed = False
        self._unread = 0
        self._bar = ProgressBar(0)

    @property
    def status(self) -> int:
        return UNREADABLE if self._unread else FOUND if self._failed else CLEAN

    def run(self, names: list[str]) -> int:
        inputs = find_inputs(names, self._not_read)
        self._bar = ProgressBar(sum(each.size for each in inputs))
        before, read = 0, 0
        try:
            for each in inputs:
                try:
                    for incident in self._incidents(each, before):
                        if not self._rules.silences(incident):
                            self._show(each.title, incident)
                    read += 1
                except HilError as error:
                    self._not_read(error)
                before += each.size
        finally:
            self._bar.wipe()
        if not self._json:
            print(self._summary(read))
        sys.stdout.flush()
        return self.status

    def _incidents(self, each: Input, before: int) -> Iterator[Incident]:
        """The last word on each incident, in order; those of a file that breaks off as well."""
        scanner = Scanner(self._rules.rules)
        waiting: dict[int, Incident] = {}
        failure: HilError | None = None
        empty = True
        try:
            for chunk in each.chunks(lambda done: self._bar.show(before + done, each.title)):
                empty = False
                waiting.update((incident.id, incident) for incident in scanner.feed(chunk))
                for known in sorted(waiting):
                    if len(waiting) <= KEPT and scanner.lines - waiting[known].last_line < SETTLED_LINES:
                        break
                    yield waiting.pop(known)
        except HilError as error:
            failure = error
        waiting.update((incident.id, incident) for incident in scanner.finish())
        yield from (waiting[known] for known in sorted(waiting))
        if failure is not None:
            raise failure
        if empty:
            self._bar.wipe()
            print(f"note: {printable(each.title)} is empty", file=sys.stderr)

    def _show(self, file: str, incident: Incident) -> None:
        self._counts[incident.severity] += 1
        if self._fail_on is not None and _RANKS[incident.severity] >= self._fail_on:
            self._failed = True
        source = self._sources.of(incident)
        self._bar.wipe()
        if self._json:
            print(as_json(file, incident, source), flush=True)
        else:
            print(as_text(file, incident, source, colour=self._colour), flush=True)

    def _not_read(self, error: HilError) -> None:
        self._unread += 1
        self._bar.wipe()
        _complain(error)

    def _summary(self, read: int) -> str:
        logs = f" in {read} log{'' if read == 1 else 's'}" if read else ""
        unread = f"; {self._unread} could not be read, or not to the end" if self._unread else ""
        found = [f"{count} {severity}" for severity, count in self._counts.items() if count]
        total = sum(self._counts.values())
        what = f"{total} incident{'' if total == 1 else 's'} ({', '.join(found)})" if found else "no incident"
        return f"{what}{logs}{unread}"

"""``shepherd-hil doctor``: what is wrong on a bench, and what to do about it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.commands.boards_file import boards_file
from pytest_shepherd_hil.commands.findings import colours
from pytest_shepherd_hil.doctor.examination import Checked, examine
from pytest_shepherd_hil.doctor.finding import Mark
from pytest_shepherd_hil.errors import ConfigError, HilError
from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    import argparse

    from pytest_shepherd_hil.boards import BoardConfig

__all__ = ["run"]

WELL, PROBLEMS, NOT_BEGUN = 0, 1, 2
_COLOURS = {Mark.OK: "32", Mark.WARNING: "1;33", Mark.PROBLEM: "1;31", Mark.NOT_CHECKED: "2"}
_MARK_WIDTH = max(map(len, Mark))
_NAME_WIDTH = 14
_TEXT_MAX = 1000


def run(options: argparse.Namespace) -> int:
    """Examine boards; returns the exit status."""
    try:
        boards = _chosen(options)
    except HilError as error:
        print(f"error: {error}", file=sys.stderr)
        return NOT_BEGUN
    report = _Report(as_json=options.format == "json")
    try:
        for board in boards:
            report.begin(board)
            for checked in examine(board, power=options.power, say=report.live, progress=report.running):
                report.show(checked)
            report.end()
    finally:
        report.wipe()
    return PROBLEMS if report.problems else WELL


def _chosen(options: argparse.Namespace) -> list[BoardConfig]:
    file = boards_file(options.boards)
    if options.board:
        return [file.board(name) for name in dict.fromkeys(options.board)]
    real = [board for board in file if board.own is None]
    if not real:
        own = ", ".join(board.name for board in file)
        only = f"only embedded and virtual boards, which are examined by name: {own}" if own else "no boards"
        raise ConfigError(f"{file.path} has {only}")
    return real


class _Report:
    """What the user sees: a line for each finding, and on a terminal what is being done."""

    def __init__(self, *, as_json: bool) -> None:
        self.problems = 0
        self._json = as_json
        self._colour = colours()
        self._shows_live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._live = False
        self._board = ""
        self._counts = dict.fromkeys(Mark, 0)
        self._started = 0.0

    def begin(self, board: BoardConfig) -> None:
        self._board = board.name
        self._counts = dict.fromkeys(Mark, 0)
        self._started = time.monotonic()
        if not self._json:
            print("  ".join(filter(None, (self._painted(board.name, "1"), printable(board.description)))), flush=True)

    def show(self, checked: Checked) -> None:
        self.wipe()
        finding = checked.finding
        self._counts[finding.mark] += 1
        self.problems += finding.mark is Mark.PROBLEM
        if self._json:
            print(
                json.dumps(
                    {
                        "board": self._board,
                        "check": checked.check,
                        "mark": str(finding.mark),
                        "says": finding.says,
                        "advice": finding.advice,
                        "seconds": round(checked.seconds, 3),
                    }
                ),
                flush=True,
            )
            return
        mark = self._painted(f"{finding.mark:<{_MARK_WIDTH}}", _COLOURS[finding.mark])
        text = printable(f"{finding.says} -> {finding.advice}" if finding.advice else finding.says, _TEXT_MAX)
        print(f"  {mark}  {checked.check:<{_NAME_WIDTH}}  {text}", flush=True)

    def end(self) -> None:
        if self._json:
            return
        counted = [f"{count} {_plural(mark, count)}" for mark, count in self._counts.items() if count]
        word = "all well" if not self._counts[Mark.PROBLEM] else "not fit for tests"
        print(f"{self._board}: {word}: {', '.join(counted)}, in {time.monotonic() - self._started:.1f} s\n", flush=True)

    def running(self, check: str, seconds: float) -> None:
        self.live(f"{check} … {seconds:.0f} s")

    def live(self, text: str) -> None:
        if self._shows_live:
            room = max(shutil.get_terminal_size().columns - 3, 0)
            sys.stderr.write(f"\r\x1b[K  {printable(text)[:room]}")
            sys.stderr.flush()
            self._live = True

    def wipe(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._live = False

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[m" if self._colour else text


def _plural(mark: Mark, count: int) -> str:
    return f"{mark}s" if count > 1 and mark in (Mark.WARNING, Mark.PROBLEM) else str(mark)

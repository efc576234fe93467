"""What the sub-commands can be asked for. Imports nothing: it is read whichever of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["NEVER", "add_boards_file", "add_rules_options", "add_scan_options"]

NEVER = "never"
STATUS = (
    "Exit status: 0 clean, 1 incidents of the severity of --fail-on or worse, 2 something could not be read or used."
)
ORDER = "The first rule that matches a line decides. Rules of yours: [rules.<id>] in boards.toml, see the README."


def add_scan_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``shepherd-hil scan``."""
    parser.epilog = STATUS
    files = "logs, also packed (gzip, bzip2, xz); folders, with all below them; '-' for stdin"
    parser.add_argument("files", nargs="+", metavar="FILE", help=files)
    about = "json: one object per incident and line"
    parser.add_argument("--format", choices=("text", "json"), default="text", help=about)
    fail_on = "which severity, or worse, makes the exit status 1 (default: fail)"
    parser.add_argument("--fail-on", choices=("fail", "warn", "info", NEVER), default="fail", help=fail_on)
    symbols = "a .ko with debug information, or vmlinux: shows source lines and fields (default: those of --board)"
    parser.add_argument("--symbols", action="append", default=[], type=Path, metavar="FILE", help=symbols)
    _add_choice_of_rules(parser)


def add_rules_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``shepherd-hil rules``."""
    parser.epilog = ORDER
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: one object per rule and line")
    _add_choice_of_rules(parser)


def _add_choice_of_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rules", action="append", default=[], type=Path, metavar="FILE", help="rules of yours on top")
    parser.add_argument("--board", metavar="NAME", help="use what boards.toml says of this board")
    add_boards_file(parser)


def add_boards_file(parser: argparse.ArgumentParser) -> None:
    """Where the boards are described."""
    boards = "the file that describes the boards (default: the nearest boards.toml here or above)"
    parser.add_argument("--boards", type=Path, metavar="FILE", help=boards)

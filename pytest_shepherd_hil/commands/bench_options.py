"""What ``doctor`` and ``console`` can be asked for. Imports nothing: it is read whichever sub-command runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.commands.options import add_boards_file

if TYPE_CHECKING:
    import argparse

__all__ = ["add_console_options", "add_doctor_options"]

DOCTOR_STATUS = "Exit status: 0 all well (warnings included), 1 problems, 2 it could not begin."
CONSOLE_STATUS = (
    "Ctrl-C or Ctrl-] ends it. What is typed goes to the board key by key; from a pipe, as it comes. "
    "Exit status: 0 ended by its user, 1 the port is lost or cannot be opened, 2 it could not begin."
)


def add_doctor_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``shepherd-hil doctor``."""
    parser.epilog = DOCTOR_STATUS
    boards = "which boards; without any, all real boards of boards.toml (embedded and virtual ones only by name)"
    parser.add_argument("board", nargs="*", metavar="BOARD", help=boards)
    add_boards_file(parser)
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="json: one object per check and line"
    )
    parser.add_argument("--power", action="store_true", help="also cycle the board's power and measure its way back")


def add_console_options(parser: argparse.ArgumentParser) -> None:
    """Those of ``shepherd-hil console``."""
    parser.epilog = CONSOLE_STATUS
    parser.add_argument("board", metavar="BOARD", help="which board")
    add_boards_file(parser)
    parser.add_argument("--raw", action="store_true", help="show bytes as they come, escape sequences included")
    parser.add_argument("--timestamps", action="store_true", help="begin each line with this host's time")

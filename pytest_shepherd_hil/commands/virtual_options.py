"""What ``shepherd-hil virtual`` can be asked for. Imports nothing: it is read whichever command runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

__all__ = ["add_virtual_options"]

ACTIONS = {
    "build": "build it in the user's cache from current Debian packages and this version's kernel modules",
    "where": "print the folder of the build that tests use",
}


def add_virtual_options(parser: argparse.ArgumentParser) -> None:
    """Its actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, about in ACTIONS.items():
        actions.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")

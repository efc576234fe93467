"""The short option ``--board``: a plugin of its own, so that ``-p no:shepherd_hil_board`` frees the name for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_shepherd_hil.options import BOARD_HELP

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--board`` as another spelling of ``--hil-board``."""
    group = parser.getgroup("hil", "hardware in the loop (pytest-shepherd-hil)")
    group.addoption("--board", dest="hil_board", action="append", metavar="NAME", help=BOARD_HELP)

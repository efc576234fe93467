"""Lines of progress: what is done to a board while no test can tell of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["show_progress"]


def show_progress(config: pytest.Config, text: str) -> None:
    """Show a line on pytest's terminal, where there is one.

    Args:
        config: pytest's.
        text: says which board it is about.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or reporter.verbosity < 0:
        return
    capture = config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
        reporter.ensure_newline()
        if config.get_terminal_writer().width_of_current_line:  # a letter after another line of ours
            reporter.write_line("")
        reporter.write_line(f"hil: {text}")

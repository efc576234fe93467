"""Puts together what a process of a run with boards needs: alone, as xdist's controller, or as one of its workers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_shepherd_hil.bench import Bench
from pytest_shepherd_hil.hooks import HilHooks
from pytest_shepherd_hil.report.progress import show_progress
from pytest_shepherd_hil.settings import chosen_boards, run_options
from pytest_shepherd_hil.workers.controller import ControllerHooks
from pytest_shepherd_hil.workers.worker import (
    CHANNEL,
    HELD,
    TAKE_OVER_S,
    TAKES_OVER,
    WorkerHooks,
    WorkerLine,
    worker_input,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

__all__ = ["set_up"]


def set_up(config: pytest.Config, names: Sequence[str]) -> Bench:
    """Read ``boards.toml`` and register the hooks.

    Raises:
        pytest.UsageError: there is no such board, or a setting is wrong.
    """
    boards, options = chosen_boards(config, names), run_options(config)
    given = worker_input(config)
    if given is None:
        bench = Bench(config, boards, names, options, partial(show_progress, config))
        config.pluginmanager.register(ControllerHooks(config, bench), "shepherd_hil_controller")
    else:
        if given[TAKES_OVER]:
            options = replace(options, wait_s=max(options.wait_s, TAKE_OVER_S))
        line = WorkerLine(given[CHANNEL])
        bench = Bench(config, boards, given[HELD], options, line.say)
        config.pluginmanager.register(WorkerHooks(bench, line), "shepherd_hil_worker")
    config.pluginmanager.register(HilHooks(bench), "shepherd_hil_hooks")
    return bench

"""The markers: their signatures, and what is wrong with how one is used."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pytest

from pytest_shepherd_hil.errors import BoardDeadError, BoardError, CommandCutError
from pytest_shepherd_hil.fixtures import MARKERS_FIXTURE
from pytest_shepherd_hil.options import MARKERS
from pytest_shepherd_hil.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.board import Board
    from pytest_shepherd_hil.guard.expected import Expectation
    from pytest_shepherd_hil.session import HilSession

_T = TypeVar("_T")

__all__ = ["ModuleReload", "apply_markers", "expectations", "marks_a_parameter", "module_reload", "reload_module"]

_MOST_CYCLES = 1_000_000


@dataclass(slots=True, frozen=True)
class ModuleReload:
    """``@pytest.mark.module_reload(cycles=1, module=None)``."""

    cycles: int
    module: str | None


def apply_markers(item: pytest.Item) -> None:
    """See that the markers of a test are used as they are meant, and have the fixture that goes with them set up.

    Raises:
        pytest.UsageError: one is not; the message shows the right form.
    """
    expectations(item)
    module_reload(item)
    names = getattr(item, "fixturenames", None)
    if names is not None and MARKERS_FIXTURE not in names:
        # a list of its own: the tests of one parametrized function share theirs
        item.fixturenames = [*names, MARKERS_FIXTURE]  # type: ignore[attr-defined]  # tests that are functions have it


def marks_a_parameter(function: pytest.Item) -> bool:
    """Whether a test function has a parameter with one of our markers: ``pytest.param(…, marks=…)``."""
    for mark in function.iter_markers("parametrize"):
        values = mark.kwargs.get("argvalues", mark.args[1] if len(mark.args) > 1 else ())
        if isinstance(values, list | tuple):  # others may be read but once
            marks = (one for value in values for one in getattr(value, "marks", ()))
            if any(getattr(one, "name", None) in MARKERS for one in marks):
                return True
    return False


def module_reload(item: pytest.Item) -> ModuleReload | None:
    """What the closest ``module_reload`` of a test asks for."""
    mark = item.get_closest_marker("module_reload")
    return None if mark is None else _bind(item, mark, _module_reload)


def expectations(item: pytest.Item) -> list[Expectation]:
    """What the test's ``expect_incident`` markers ask for; several are all to be met."""
    marks = list(item.iter_markers("expect_incident"))
    if not marks:
        return []
    found = [_bind(item, mark, _expectation) for mark in reversed(marks)]
    return sorted(found, key=lambda expectation: expectation.vagueness)  # the choosiest is asked first


def _module_reload(cycles: object = 1, module: object = None) -> ModuleReload:
    if not isinstance(cycles, int) or isinstance(cycles, bool) or not 1 <= cycles <= _MOST_CYCLES:
        raise ValueError(f"cycles must be a whole number from 1 to {_MOST_CYCLES}")
    return ModuleReload(cycles, _text("module", module))


def reload_module(board: Board, session: HilSession, wanted: ModuleReload) -> None:
    """Do what ``module_reload`` asks for, watched.

    Raises:
        pytest.fail.Exception: a cycle did not work; the message says which.
    """
    module = board.module(wanted.module)
    for cycle in range(1, wanted.cycles + 1):
        where = f"module_reload of {module.name}, cycle {cycle} of {wanted.cycles}"
        session.note(where)
        try:
            module.reload()
        except (BoardDeadError, CommandCutError):
            raise
        except BoardError as error:
            raise Failed(f"{where}: {error}", pytrace=False) from None
        session.await_quiet()
    session.note(None)


def _expectation(kind: object, function: object = None, match: object = None, count: object = 1) -> Expectation:
    from pytest_shepherd_hil.guard.expected import expectation

    return expectation(kind, function, match, count)


def _text(name: str, value: object) -> str | None:
    from pytest_shepherd_hil.guard.expected import text_or_none

    return text_or_none(name, value)


def _bind(item: pytest.Item, mark: pytest.Mark, make: Callable[..., _T]) -> _T:
    try:
        inspect.signature(make).bind(*mark.args, **mark.kwargs)
        return make(*mark.args, **mark.kwargs)
    except (TypeError, ValueError) as error:
        given = ", ".join([*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())])
        form = MARKERS[mark.name].split(": ", 1)[0]
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.{mark.name}({given}): {error}; the right form is @pytest.mark.{form}"
        ) from error

"""The board's build, made once, and a board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual.process import VirtualProcess
from tests.requirements import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.virtual.build import Build

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test on a machine waits for the build: packages are fetched, modules compiled, a snapshot is taken."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def build() -> Build:
    """What virtual boards boot: the build of the sources as they are, made if need be."""
    from pytest_shepherd_hil.virtual.build import ensure

    try:
        return ensure(print)
    except HostError as error:
        if REQUIREMENTS["qemu-system-arm"].demanded:
            raise
        pytest.skip(f"needs a virtual board, which could not be built: {error}")


@pytest.fixture
def virtual(build: Build) -> Iterator[VirtualProcess]:
    """A virtual board of its own for a test."""
    with VirtualProcess.start() as board:
        yield board


@pytest.fixture(autouse=True)
def same_cache(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytester gives what it runs another home; the board's build is in the cache of the real one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(build.folder.parents[2]))

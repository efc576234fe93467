"""What some tests need besides Python: what it is for, how to see whether it is there, how to get it.

Without it such a test skips and says what to install. With ``HIL_REQUIRE`` set (``all``, or names with commas between)
it fails instead: then nothing may be missing.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
"""Facts, corpus and captures that lie beside the repository on the project's own machines."""


@dataclass(frozen=True)
class Requirement:
    """Something that a test needs.

    Attributes:
        packages: Debian packages that bring it; empty where no package does.
        extra: for a Python module, the extra of this package that brings it.
    """

    name: str
    packages: tuple[str, ...]
    extra: str | None = None

    @property
    def present(self) -> bool:
        if self.name == "shared":
            return SHARED.is_dir()
        if self.extra is not None:
            return importlib.util.find_spec(self.name) is not None
        return any(shutil.which(self.name, path=path) for path in (None, "/usr/sbin:/sbin"))

    @property
    def demanded(self) -> bool:
        demanded = os.environ.get("HIL_REQUIRE", "").split(",")
        return "all" in demanded or self.name in demanded

    @property
    def reason(self) -> str:
        if self.packages:
            return f"needs {self.name}: sudo apt-get install {' '.join(self.packages)}"
        if self.extra is not None:
            return f"needs {self.name}: pip install 'pytest-shepherd-hil[{self.extra}]'"
        return f"needs {SHARED.name}/ beside the repository"


REQUIREMENTS = {
    requirement.name: requirement
    for requirement in (
        Requirement("sigrok-cli", ("sigrok-cli",)),
        Requirement("qemu-system-arm", ("qemu-system-arm",)),
        Requirement("arm-linux-gnueabihf-gcc", ("gcc-arm-linux-gnueabihf",)),
        Requirement("make", ("make",)),
        Requirement("depmod", ("kmod",)),
        Requirement("apt-get", ("apt",)),
        Requirement("atheris", (), extra="test"),
        Requirement("shared", ()),
    )
}


def require(name: str) -> pytest.MarkDecorator:
    """A mark for tests that need ``name``; ``tests/conftest.py`` skips or fails them where it is absent."""
    assert name in REQUIREMENTS, f"{name!r} is none of {', '.join(REQUIREMENTS)}"
    return pytest.mark.requires(name)


def require_all(*names: str) -> list[pytest.MarkDecorator]:
    """Such marks, for ``pytestmark``."""
    return [require(name) for name in names]


VIRTUAL_BOARD = ("qemu-system-arm", "arm-linux-gnueabihf-gcc", "make", "depmod", "apt-get")
"""What it takes to build a virtual board and to run it."""

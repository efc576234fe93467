"""``shepherd-hil virtual``: the virtual board's build."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_shepherd_hil.virtual import build

if TYPE_CHECKING:
    import argparse

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Do what ``options.action`` says: ``build`` or ``where``."""
    return _build() if options.action == "build" else _where()


def _build() -> int:
    progress = _Progress()
    done = build.refresh(progress.say, progress.live)
    progress.say(f"Kernel {', '.join((done.release, *done.modules))}: {done.folder}")
    return 0


def _where() -> int:
    found = build.existing()
    if found is None:
        print("error: there is no build of the virtual board yet: shepherd-hil virtual build", file=sys.stderr)
        return 1
    print(found.folder)
    return 0


class _Progress:
    """Lines on stdout; on a terminal also what passes within a step, on a line of its own that goes again."""

    def __init__(self) -> None:
        self._shows_live = sys.stdout.isatty()
        self._wipe = ""

    def say(self, line: str) -> None:
        print(f"{self._wipe}{line}", flush=True)
        self._wipe = ""

    def live(self, line: str) -> None:
        if self._shows_live:
            self._wipe = "\r\x1b[K"
            print(f"\r\x1b[K  {line}", end="", flush=True)

"""The ``shepherd-hil`` command: what is done beside test runs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

INTERRUPTED = 130
"""Exit status of a command that was ended with Ctrl-C, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: of the command line; by default this process's.

    Returns:
        Exit status: 0, or 1 after an error that was told on stderr.
    """
    parser = argparse.ArgumentParser(prog="shepherd-hil", description="What is done beside test runs.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_virtual(commands)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except HilError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _add_virtual(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "the virtual board, a real ARM kernel in QEMU"
    parser = commands.add_parser("virtual", help=about, description=_sentence(about))
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    build = "build it in the user's cache from current Debian packages and this version's kernel modules"
    action = actions.add_parser("build", help=build, description=_sentence(build))
    action.set_defaults(run=_virtual_build)
    where = "print the folder of the build that tests use"
    action = actions.add_parser("where", help=where, description=_sentence(where))
    action.set_defaults(run=_virtual_where)


def _sentence(about: str) -> str:
    return f"{about[0].upper()}{about[1:]}."


def _virtual_build(_: argparse.Namespace) -> int:
    from pytest_shepherd_hil.virtual.build import refresh

    progress = _Progress()
    build = refresh(progress.say, progress.live)
    progress.say(f"Kernel {', '.join((build.release, *build.modules))}: {build.folder}")
    return 0


def _virtual_where(_: argparse.Namespace) -> int:
    from pytest_shepherd_hil.virtual.build import existing

    build = existing()
    if build is None:
        print("error: there is no build of the virtual board yet: shepherd-hil virtual build", file=sys.stderr)
        return 1
    print(build.folder)
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


if __name__ == "__main__":
    sys.exit(main())

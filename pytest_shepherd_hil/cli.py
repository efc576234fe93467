"""The ``shepherd-hil`` command: what is done beside test runs."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING

from pytest_shepherd_hil.commands.bench_options import add_console_options, add_doctor_options
from pytest_shepherd_hil.commands.decode_options import add_decode_options
from pytest_shepherd_hil.commands.options import add_rules_options, add_scan_options
from pytest_shepherd_hil.commands.output import drop_output, ensure_streams
from pytest_shepherd_hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

INTERRUPTED = 130
"""Exit status of a command that was ended with Ctrl-C, as shells have it."""
NOT_READ = 141
"""The same of a command whose output nobody reads any more, as in ``shepherd-hil rules | head``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: of the command line; by default this process's.

    Returns:
        Exit status: 0, or 1 after an error that was told on stderr; those of ``scan``, ``doctor`` and
        ``console`` have meanings of their own.
    """
    ensure_streams()
    parser = argparse.ArgumentParser(prog="shepherd-hil", description="What is done beside test runs.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_scan(commands)
    _add_rules(commands)
    _add_doctor(commands)
    _add_console(commands)
    _add_decode(commands)
    _add_virtual(commands)
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows only ASCII still gets every line
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except HilError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return NOT_READ


def _add_scan(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "find what went wrong in kernel logs"
    parser = commands.add_parser("scan", help=about, description=_sentence(about))
    add_scan_options(parser)
    parser.set_defaults(run=_scan)


def _scan(options: argparse.Namespace) -> int:
    from pytest_shepherd_hil.commands.scan import run

    return run(options)


def _add_rules(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "list the rules that tell what is wrong on a kernel console"
    parser = commands.add_parser("rules", help=about, description=_sentence(about))
    add_rules_options(parser)
    parser.set_defaults(run=_rules)


def _rules(options: argparse.Namespace) -> int:
    from pytest_shepherd_hil.commands.rules import run

    return run(options)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "check a bench without running a test, and say what to do about each finding"
    parser = commands.add_parser("doctor", help=about, description=_sentence(about))
    add_doctor_options(parser)
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from pytest_shepherd_hil.commands.doctor import run

    return run(options)


def _add_console(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "show a board's live console; read-only while a run holds the board"
    parser = commands.add_parser("console", help=about, description=_sentence(about))
    add_console_options(parser)
    parser.set_defaults(run=_console)


def _console(options: argparse.Namespace) -> int:
    from pytest_shepherd_hil.commands.console import run

    return run(options)


def _add_decode(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "print what a logic analyzer's recording says, read as a UART"
    parser = commands.add_parser("decode", help=about, description=_sentence(about))
    add_decode_options(parser)
    parser.set_defaults(run=_decode)


def _decode(options: argparse.Namespace) -> int:
    from pytest_shepherd_hil.commands.decode import run

    return run(options)


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

"""The ``shepherd-hil`` command: what is done beside test runs."""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from typing import TYPE_CHECKING

from pytest_shepherd_hil.commands.bench_options import add_console_options, add_doctor_options
from pytest_shepherd_hil.commands.decode_options import add_decode_options
from pytest_shepherd_hil.commands.options import add_rules_options, add_scan_options
from pytest_shepherd_hil.commands.output import drop_output, ensure_streams
from pytest_shepherd_hil.commands.virtual_options import add_virtual_options
from pytest_shepherd_hil.errors import HilError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "scan": ("find what went wrong in kernel logs", add_scan_options),
    "rules": ("list the rules that tell what is wrong on a kernel console", add_rules_options),
    "doctor": ("check a bench without running a test, and say what to do about each finding", add_doctor_options),
    "console": ("show a board's live console; read-only while a run holds the board", add_console_options),
    "decode": ("print what a logic analyzer's recording says, read as a UART", add_decode_options),
    "virtual": ("the virtual board, a real ARM kernel in QEMU", add_virtual_options),
}
"""Each with what it does and what adds its options; ``run()`` of the module of its name in ``commands`` does it."""
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
    for name, (about, add_options) in COMMANDS.items():
        parser_of_it = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        add_options(parser_of_it)
        parser_of_it.set_defaults(module=f"pytest_shepherd_hil.commands.{name}")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows only ASCII still gets every line
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        # imported now, so that no command pays for what another one needs
        run: Callable[[argparse.Namespace], int] = importlib.import_module(options.module).run
        return run(options)
    except HilError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return NOT_READ


if __name__ == "__main__":
    sys.exit(main())

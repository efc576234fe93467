"""The commands that pass text on: cat, grep, tee and their like."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_shepherd_hil.sim.interpreter import Shell
    from pytest_shepherd_hil.sim.streams import Process

__all__ = ["COMMANDS"]

FOLLOW_S = 0.2


def _contents(shell: Shell, process: Process, command: str, names: list[str]) -> Iterator[tuple[str, bytes | None]]:
    """Each file's name and content; None where it could not be read, which is then said."""
    for name in names or ["-"]:
        if name == "-":
            yield name, process.stdin.read_all()
            continue
        try:
            yield name, shell.system.tree.read(shell.path(process, name), root=process.is_root)
        except OSError as error:
            process.err(f"{command}: {name}: {os.strerror(error.errno or 5)}\n")
            yield name, None


def _cat(shell: Shell, process: Process, args: list[str]) -> int:
    status = 0
    names = [arg for arg in args if arg == "-" or not arg.startswith("-")]
    if not names:
        while data := process.stdin.read_some():
            process.stdout(data)
        return 0
    if any(shell.path(process, name) == "/dev/kmsg" for name in names):
        return _cat_kmsg(shell, process)
    for _, content in _contents(shell, process, "cat", names):
        if content is None:
            status = 1
        elif content:
            process.stdout(content)
    return status


def _cat_kmsg(shell: Shell, process: Process) -> int:
    """The kernel's log from its begin, and on for as long as somebody reads."""
    kernel, following = shell.life.kernel, 0
    while shell.pause(process, 0):
        for record in kernel.records_after(following, FOLLOW_S):
            following = record.sequence + 1
            process.out(record.kmsg)
    return 130


def _tee(shell: Shell, process: Process, args: list[str]) -> int:
    append, status = "-a" in args, 0
    outputs: list[Callable[[bytes], None]] = [process.stdout]
    for name in args:
        if name.startswith("-"):
            continue
        try:
            path = shell.path(process, name)
            outputs.append(shell.system.tree.open_to_write(path, root=process.is_root, append=append))
        except OSError as error:
            process.err(f"tee: {name}: {os.strerror(error.errno or 5)}\n")
            status = 1
    while data := process.stdin.read_some():
        shell.life.check()
        for output in outputs:
            try:
                output(data)
            except OSError as error:
                process.err(f"tee: {os.strerror(error.errno or 5)}\n")
                status = 1
    return status


def _grep(shell: Shell, process: Process, args: list[str]) -> int:
    options, pattern, names = "", None, []
    while args:
        arg = args.pop(0)
        if arg == "-e" and args:
            pattern = args.pop(0)
        elif arg.startswith("-") and len(arg) > 1 and pattern is None:
            options += arg[1:]
        elif pattern is None:
            pattern = arg
        else:
            names.append(arg)
    if pattern is None or set(options) - set("qEivcFnwo"):
        process.err("Usage: grep [OPTION]... PATTERNS [FILE]...\n")
        return 2
    if "F" in options:
        pattern = re.escape(pattern)
    elif "E" not in options:  # basic: what extended has bare is escaped here, and the other way round
        pattern = re.sub(r"\\([|(){}+?])|([|(){}+?])", lambda m: m[1] or "\\" + m[2], pattern)
    try:
        wanted = re.compile(rf"\b(?:{pattern})\b" if "w" in options else pattern, re.IGNORECASE * ("i" in options))
    except re.error:
        process.err("grep: Invalid regular expression\n")
        return 2
    hits, failed, out = 0, False, []
    for _, data in _contents(shell, process, "grep", names):
        failed = failed or data is None
        for number, line in enumerate((data or b"").decode("utf-8", "surrogateescape").splitlines(), 1):
            match = wanted.search(line)
            if bool(match) is not ("v" in options):
                hits += 1
                shown = match[0] if match and "o" in options else line
                out.append(f"{number}:{shown}" if "n" in options else shown)
    if "c" in options:
        process.out(f"{hits}\n")
    elif out and "q" not in options:
        process.out("\n".join(out) + "\n")
    return 2 if failed else int(not hits)


def _count(args: list[str]) -> tuple[int, list[str]]:
    """The number after ``-n`` (or ``-5``), and what else there is."""
    count, rest = 10, []
    while args:
        arg = args.pop(0)
        if arg == "-n" and args:
            arg = "-" + args.pop(0)
        if match := re.fullmatch(r"-(?:n)?\+?-?(\d+)", arg):
            count = int(match[1])
        else:
            rest.append(arg)
    return count, rest


def _head(shell: Shell, process: Process, args: list[str]) -> int:
    count, names = _count(args)
    for _, data in _contents(shell, process, "head", names):
        process.stdout(b"".join((data or b"").splitlines(keepends=True)[:count]))
    return 0


def _tail(shell: Shell, process: Process, args: list[str]) -> int:
    count, names = _count(args)
    for _, data in _contents(shell, process, "tail", names):
        process.stdout(b"".join((data or b"").splitlines(keepends=True)[-count:] if count else ()))
    return 0


def _wc(shell: Shell, process: Process, args: list[str]) -> int:
    status = 0
    for name, data in _contents(shell, process, "wc", [arg for arg in args if not arg.startswith("-")]):
        if data is None:
            status = 1
            continue
        counts = {"l": data.count(b"\n"), "w": len(data.split()), "c": len(data)}
        shown = [str(counts[key]) for key in counts if any(key in arg for arg in args if arg.startswith("-"))]
        process.out(" ".join(shown or map(str, counts.values())) + ("" if name == "-" else f" {name}") + "\n")
    return status


def _sort(shell: Shell, process: Process, args: list[str]) -> int:
    options = "".join(arg[1:] for arg in args if arg.startswith("-"))
    lines: list[bytes] = []
    for _, data in _contents(shell, process, "sort", [arg for arg in args if not arg.startswith("-")]):
        lines += (data or b"").splitlines()
    found = sorted(set(lines) if "u" in options else lines, reverse="r" in options)
    process.stdout(b"".join(line + b"\n" for line in found))
    return 0


COMMANDS: dict[str, Callable[[Shell, Process, list[str]], int]] = {
    "cat": _cat,
    "grep": _grep,
    "head": _head,
    "sort": _sort,
    "tail": _tail,
    "tee": _tee,
    "wc": _wc,
}

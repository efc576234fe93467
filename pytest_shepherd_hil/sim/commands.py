"""The commands that any Unix has, as far as a test of a shepherd needs them."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.sim.interpreter import Shell
    from pytest_shepherd_hil.sim.streams import Process

__all__ = ["COMMANDS"]

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "a": "\a", "0": "\0", "e": "\x1b"}
_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _escaped(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] == "x" else _ESCAPES.get(code, match[0])

    return re.sub(r"\\(x[0-9a-fA-F]{1,2}|.)", plain, text)


def _true(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    return 0


def _false(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    return 1


def _echo(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    newline, escapes = True, False
    while args and re.fullmatch(r"-[neE]+", args[0]):
        option = args.pop(0)
        newline = newline and "n" not in option
        escapes = "e" in option or (escapes and "E" not in option)
    text = " ".join(args)
    process.out((_escaped(text) if escapes else text) + ("\n" if newline else ""))
    return 0


def _printf(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    if not args:
        process.err("sh: 1: printf: usage: printf format [arg ...]\n")
        return 2
    form, values = _escaped(args[0]), args[1:]
    out = ""
    while True:
        left = len(values)

        def value(match: re.Match[str]) -> str:
            if match[0] == "%%":
                return "%"
            text = values.pop(0) if values else ""
            if match[1] in "dixX":
                number = int(text, 0) if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", text) else 0
                return match[0].replace("i", "d") % number
            return _escaped(text) if match[1] == "b" else match[0] % text

        out += re.sub(r"%%|%-?\d*([sdixXb])", value, form)
        if not values or len(values) == left:
            break
    process.out(out)
    return 0


def _ls(shell: Shell, process: Process, args: list[str]) -> int:
    status = 0
    names = [arg for arg in args if not arg.startswith("-")] or ["."]
    folder_itself = any("d" in arg for arg in args if arg.startswith("-"))
    for name in names:
        path = shell.path(process, name)
        if shell.system.tree.is_file(path) or (folder_itself and shell.system.tree.is_folder(path)):
            process.out(name + "\n")
            continue
        try:
            process.out("".join(inside + "\n" for inside in shell.system.tree.names(path)))
        except OSError as error:
            process.err(f"ls: cannot access '{name}': {os.strerror(error.errno or 5)}\n")
            status = 2
    return status


def _rm(shell: Shell, process: Process, args: list[str]) -> int:
    status = 0
    force = any("f" in arg for arg in args if arg.startswith("-"))
    for name in args:
        if name.startswith("-"):
            continue
        try:
            shell.system.tree.delete(shell.path(process, name), root=process.is_root)
        except OSError as error:
            if not (force and error.errno == 2):
                process.err(f"rm: cannot remove '{name}': {os.strerror(error.errno or 5)}\n")
                status = 1
    return status


def _test(shell: Shell, process: Process, args: list[str]) -> int:
    tree = shell.system.tree
    match args:
        case ["!", *rest]:
            return int(not _test(shell, process, rest))
        case [("-e" | "-f" | "-d" | "-r" | "-w" | "-s") as kind, name]:
            path = shell.path(process, name)
            found = {"f": tree.is_file(path), "s": tree.is_file(path), "d": tree.is_folder(path)}
            return int(not found.get(kind[1], tree.is_file(path) or tree.is_folder(path)))
        case ["-n", text]:
            return int(not text)
        case ["-z", text]:
            return int(bool(text))
        case [left, "=" | "==", right]:
            return int(left != right)
        case [left, "!=", right]:
            return int(left == right)
        case [left, ("-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge") as how, right]:
            try:
                a, b = int(left), int(right)
            except ValueError:
                process.err(f"sh: 1: [: Illegal number: {left}\n")
                return 2
            results = {"-eq": a == b, "-ne": a != b, "-lt": a < b, "-le": a <= b, "-gt": a > b, "-ge": a >= b}
            return int(not results[how])
        case [text]:
            return int(not text)
        case []:
            return 1
        case _:
            process.err(f"sh: 1: test: {args[0]}: unexpected operator\n")
            return 2


def _bracket(shell: Shell, process: Process, args: list[str]) -> int:
    if not args or args[-1] != "]":
        process.err("sh: 1: [: missing ]\n")
        return 2
    return _test(shell, process, args[:-1])


def _sleep(shell: Shell, process: Process, args: list[str]) -> int:
    total = 0.0
    for arg in args:
        match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([smhd]?)", arg)
        if match is None:
            process.err(f"sleep: invalid time interval '{arg}'\n")
            return 1
        total += float(match[1]) * _UNIT_S[match[2]]
    if not args:
        process.err("sleep: missing operand\n")
        return 1
    return 0 if shell.pause(process, total) else 130


def _id(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    number, name = (0, "root") if process.is_root else (1000, process.user)
    short = {"-u": f"{number}", "-g": f"{number}", "-un": name, "-nu": name, "-gn": name}
    joined = args[0] if args else ""
    process.out(short.get(joined, f"uid={number}({name}) gid={number}({name}) groups={number}({name})") + "\n")
    return 0


def _whoami(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    process.out(process.user + "\n")
    return 0


def _pwd(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    process.out(process.cwd + "\n")
    return 0


def _cd(shell: Shell, process: Process, args: list[str]) -> int:
    name = args[0] if args else ("/root" if process.is_root else "/home/debian")
    path = shell.path(process, name)
    if not shell.system.tree.is_folder(path):
        process.err(f"sh: 1: cd: can't cd to {name}\n")
        return 2
    process.cwd = path
    return 0


def _env(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    process.out("".join(f"{name}={value}\n" for name, value in sorted(process.env.items())))
    return 0


def _export(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    for arg in args:
        name, equals, value = arg.partition("=")
        if not name.isidentifier():
            process.err(f"sh: 1: export: {name}: bad variable name\n")
            return 2
        if equals:
            process.env[name] = value
    return 0


def _read(shell: Shell, process: Process, args: list[str]) -> int:
    names = [arg for arg in args if not arg.startswith("-")] or ["REPLY"]
    line = process.stdin.read_line()
    shell.life.check()
    words = line.decode("utf-8", "surrogateescape").removesuffix("\n").strip(" \t").split(None, len(names) - 1)
    for index, name in enumerate(names):
        process.env[name] = words[index] if index < len(words) else ""
    return int(not line.endswith(b"\n"))


def _date(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    form = args[0][1:] if args and args[0].startswith("+") else "%a %b %e %H:%M:%S UTC %Y"
    now = time.time()
    form = form.replace("%N", f"{int(now % 1 * 1e9):09d}")
    process.out(time.strftime(form, time.gmtime(now)) + "\n")
    return 0


COMMANDS: dict[str, Callable[[Shell, Process, list[str]], int]] = {
    ":": _true,
    "[": _bracket,
    "cd": _cd,
    "date": _date,
    "echo": _echo,
    "env": _env,
    "export": _export,
    "false": _false,
    "id": _id,
    "ls": _ls,
    "printf": _printf,
    "pwd": _pwd,
    "read": _read,
    "rm": _rm,
    "sleep": _sleep,
    "sync": _true,
    "test": _test,
    "true": _true,
    "whoami": _whoami,
}

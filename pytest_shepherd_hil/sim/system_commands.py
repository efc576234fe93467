"""The commands that speak with the board's kernel: modprobe, dmesg, sysctl, reboot and their like."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_shepherd_hil.sim.kernel import RELEASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.sim.interpreter import Shell
    from pytest_shepherd_hil.sim.kernel import Record
    from pytest_shepherd_hil.sim.streams import Process

__all__ = ["COMMANDS"]

LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")
FOLLOW_S = 0.2
_TWO_LETTERS = {"--all": "a", "--remove": "r", "--force": "f", "--verbose": "v", "--quiet": "q"}


def _modprobe(shell: Shell, process: Process, args: list[str]) -> int:
    options = "".join(_TWO_LETTERS.get(arg, arg[1:]) for arg in args if arg.startswith("-"))
    names = [arg for arg in args if not arg.startswith("-")]
    if not names:
        process.err("modprobe: ERROR: missing parameters. See -h.\n")
        return 1
    removing = "r" in options
    shepherd = shell.system.shepherd
    loaded = {line.split()[0] for line in shepherd.modules().splitlines()}
    for name in names if "a" in options or removing else names[:1]:
        if name not in loaded | {"shepherd"}:
            process.err(f"modprobe: FATAL: Module {name} not found in directory /lib/modules/{RELEASE}\n")
            return 1
        if not process.is_root and (removing or name not in loaded):
            verb = "remove" if removing else "insert"
            process.err(f"modprobe: ERROR: could not {verb} '{name}': Operation not permitted\n")
            return 1
        if removing and name != "shepherd":
            process.err(f"modprobe: FATAL: Module {name} is in use.\n")
            return 1
        if "v" in options and (name in loaded) is removing:
            process.out(f"rmmod {name}\n" if removing else f"insmod /lib/modules/{RELEASE}/extra/{name}.ko \n")
        if name == "shepherd":
            (shepherd.unload if removing else shepherd.load)()
    return 0


def _rmmod(shell: Shell, process: Process, args: list[str]) -> int:
    for name in (arg for arg in args if not arg.startswith("-")):
        loaded = {line.split()[0] for line in shell.system.shepherd.modules().splitlines()}
        if name not in loaded:
            process.err(f"rmmod: ERROR: Module {name} is not currently loaded\n")
            return 1
        if not process.is_root:
            process.err(f"rmmod: ERROR: could not remove '{name}': Operation not permitted\n")
            return 1
        if name != "shepherd":
            process.err(f"rmmod: ERROR: Module {name} is in use\n")
            return 1
        shell.system.shepherd.unload()
    return 0


def _lsmod(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    rows = ["Module                  Size  Used by"]
    for line in shell.system.shepherd.modules().splitlines():
        name, size, used, users, *_ = line.split()
        rows.append(f"{name:<19} {size:>8}  {used} {users.strip(',').removeprefix('-')}".rstrip())
    process.out("\n".join(rows) + "\n")
    return 0


def _modinfo(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    status = 0
    for name in (arg for arg in args if not arg.startswith("-")):
        if name != "shepherd":
            process.err(f"modinfo: ERROR: Module {name} not found.\n")
            status = 1
            continue
        rows = {
            "filename": f"/lib/modules/{RELEASE}/extra/shepherd.ko",
            "version": "0.8.1",
            "license": "GPL",
            "srcversion": "5E4C8BB4DA1F0B4C7A9B3F2",
            "vermagic": f"{RELEASE} SMP preempt mod_unload modversions ARMv7 p2v8 ",
        }
        process.out("".join(f"{key + ':':<15} {value}\n" for key, value in rows.items()))
    return status


def _dmesg(shell: Shell, process: Process, args: list[str]) -> int:
    kernel = shell.life.kernel
    options, wanted, console = "", None, None
    words = list(args)
    while words:
        word = words.pop(0)
        value = ""
        if word[:2] in ("-n", "-l"):
            value = word[2:] or (words.pop(0) if words else "")
            word = word[:2]
        if word == "-n":
            console = value
        elif word == "-l":
            wanted = {LEVELS.index(level) for level in value.split(",") if level in LEVELS}
        elif word.startswith("-"):
            options += {"--follow": "w", "--clear": "C", "--read-clear": "c", "--notime": "t"}.get(word, word[1:])
        else:
            process.err("dmesg: bad usage\nTry 'dmesg --help' for more information.\n")
            return 1
    if (console is not None or "c" in options.lower()) and not process.is_root:
        process.err(
            f"dmesg: {'klogctl' if console is not None else 'clear kernel buffer'} failed: Operation not permitted\n"
        )
        return 1
    if console is not None:
        level = LEVELS.index(console) + 1 if console in LEVELS else int(console) if console.isdigit() else 0
        if not 1 <= level <= 8:
            process.err(f"dmesg: unknown level '{console}'\n")
            return 1
        kernel.loglevels[0] = level
        return 0
    if "C" not in options:
        _show(process, kernel.records(), options, wanted)
    if "c" in options.lower():
        kernel.clear()
    if "w" in options.lower():
        _follow(shell, process, options, wanted)
    return 0


def _show(process: Process, records: list[Record], options: str, wanted: set[int] | None) -> None:
    text = ""
    for record in records:
        if wanted is None or record.level in wanted:
            lines = record.text.split("\n") if "t" in options else record.lines
            text += "".join(f"<{record.level}>{line}\n" if "r" in options else f"{line}\n" for line in lines)
    if text:
        process.out(text)


def _follow(shell: Shell, process: Process, options: str, wanted: set[int] | None) -> None:
    kernel = shell.life.kernel
    past = kernel.records()
    following = past[-1].sequence + 1 if past else 0
    while shell.pause(process, 0):
        news = kernel.records_after(following, FOLLOW_S)
        if news:
            following = news[-1].sequence + 1
            shell.life.check()
            _show(process, news, options, wanted)


def _sysctl(shell: Shell, process: Process, args: list[str]) -> int:
    status = 0
    bare = any(arg.startswith("-") and "n" in arg for arg in args)
    tree = shell.system.tree
    for arg in (arg for arg in args if not arg.startswith("-")):
        name, equals, value = arg.partition("=")
        name, value = name.strip(), value.strip()
        path = "/proc/sys/" + name.replace(".", "/")
        if not tree.is_file(path):
            process.err(f"sysctl: cannot stat {path}: No such file or directory\n")
            status = 255
            continue
        try:
            if equals:
                tree.open_to_write(path, root=process.is_root, append=False)(value.encode() + b"\n")
            shown = tree.read(path, root=process.is_root).decode().rstrip("\n")
            process.out(f"{shown}\n" if bare else f"{name} = {shown}\n")
        except OSError as error:
            reason = os.strerror(error.errno or 5)
            process.err(
                f'sysctl: permission denied on key "{name}"\n'
                if error.errno == 13
                else f'sysctl: setting key "{name}": {reason}\n'
            )
            status = 255
    return status


def _uname(shell: Shell, process: Process, args: list[str]) -> int:
    known = shell.system.uname()
    letters = "".join(arg.lstrip("-") for arg in args) or "s"
    if "a" in letters:
        letters = "snrvmo"
    process.out(" ".join(text for letter, text in known.items() if letter in letters) + "\n")
    return 0


def _hostname(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    process.out(shell.system.hostname + "\n")
    return 0


def _uptime(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    minutes = int(shell.life.kernel.time_s // 60)
    process.out(f" up {minutes} min,  1 user,  load average: 0.08, 0.03, 0.01\n")
    return 0


def _sudo(shell: Shell, process: Process, args: list[str]) -> int:
    words = list(args)
    user = "root"
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option == "--":
            break
        if option in ("-u", "-p", "-g") and words:
            value = words.pop(0)
            user = value if option == "-u" else user
        elif option in ("-s", "-i"):
            words = words or ["sh"]
    while words and "=" in words[0] and words[0].partition("=")[0].isidentifier():
        name, _, value = words.pop(0).partition("=")
        process.env[name] = value
    if not words:
        process.err("usage: sudo -h | -K | -k | -V\nusage: sudo [-AbEHknPS] [-u user] [VAR=value] <command>\n")
        return 1
    if words[0] in ("cd", "export", "read", "exit", ":") or not _exists(words[0]):
        process.err(f"sudo: {words[0]}: command not found\n")
        return 1
    outer, process.user = process.user, user
    try:
        return shell.command(process, words)
    finally:
        process.user = outer


def _exists(name: str) -> bool:
    from pytest_shepherd_hil.sim import interpreter

    return os.path.basename(name) in interpreter.COMMANDS  # noqa: PTH119 -- a path of the board


def _sh(shell: Shell, process: Process, args: list[str]) -> int:
    words = list(args)
    inside = shell.child()
    cwd, env = process.cwd, process.env
    process.env = dict(env)
    try:
        while words and words[0].startswith("-"):
            option = words.pop(0)
            if "c" in option and not option.startswith("--"):
                if not words:
                    process.err("sh: 0: -c requires an argument\n")
                    return 2
                script = words.pop(0)
                inside.arguments = words or ["sh"]
                return inside.run(process, script)
        if words:
            text = shell.system.tree.read(shell.path(process, words[0]), root=process.is_root)
            inside.arguments = words
            return inside.run(process, text.decode("utf-8", "surrogateescape"))
        return inside.run_lines(process)
    except FileNotFoundError:
        process.err(f"sh: 0: cannot open {words[0]}: No such file\n")
        return 2
    finally:
        process.cwd, process.env = cwd, env


def _exit(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    from pytest_shepherd_hil.sim.interpreter import ShellExit

    raise ShellExit(int(args[0]) & 255 if args and args[0].isdigit() else shell.status)


def _which(shell: Shell, process: Process, args: list[str]) -> int:  # noqa: ARG001
    status = 0
    for name in (arg for arg in args if not arg.startswith("-")):
        if _exists(name):
            process.out(f"/usr/bin/{name}\n")
        else:
            status = 1
    return status


def _command(shell: Shell, process: Process, args: list[str]) -> int:
    if args and args[0] in ("-v", "-V"):
        status = _which(shell, process, args[1:])
        return NOT_FOUND if status else 0
    return shell.command(process, args) if args else 0


def _reboot(shell: Shell, process: Process, args: list[str]) -> int:
    return _shut_down(shell, process, args, power_off=False)


def _poweroff(shell: Shell, process: Process, args: list[str]) -> int:
    return _shut_down(shell, process, args, power_off=True)


def _shut_down(shell: Shell, process: Process, args: list[str], *, power_off: bool) -> int:  # noqa: ARG001
    if not process.is_root:
        process.err("Failed to set wall message, ignoring: Interactive authentication required.\n")
        return 1
    shell.machine.shut_down(shell.life, power_off=power_off)
    return 0


NOT_FOUND = 127
COMMANDS: dict[str, Callable[[Shell, Process, list[str]], int]] = {
    "bash": _sh,
    "command": _command,
    "dash": _sh,
    "dmesg": _dmesg,
    "exit": _exit,
    "hostname": _hostname,
    "lsmod": _lsmod,
    "modinfo": _modinfo,
    "modprobe": _modprobe,
    "poweroff": _poweroff,
    "reboot": _reboot,
    "rmmod": _rmmod,
    "sh": _sh,
    "sudo": _sudo,
    "sysctl": _sysctl,
    "uname": _uname,
    "uptime": _uptime,
    "which": _which,
}

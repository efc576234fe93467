"""Checks of this computer's side: the lock, the serial port, the power command."""

from __future__ import annotations

import contextlib
import grp
import os
import re
import shlex
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.doctor.finding import Finding, in_one_line, not_checked, ok, problem, warning
from pytest_shepherd_hil.errors import HilError, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.doctor.bench import Bench

__all__ = [
    "check_lock",
    "check_port",
    "check_power",
    "check_rivals",
    "device_fault",
    "program_names",
]

_BY_ID = Path("/dev/serial/by-id")
_PROC = Path("/proc")
_USB = re.compile(r"ttyUSB|ttyACM|usb-")
_RIVALS = {
    "ModemManager": (
        "it talks to a serial adapter that has just been plugged in, as if that were a modem",
        "sudo systemctl mask --now ModemManager",
    ),
    "brltty": (
        "it takes adapters with a CH340, CP210x or FTDI chip for braille displays",
        "sudo systemctl mask --now brltty.path brltty.service, or uninstall it",
    ),
}
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_BUILTINS = frozenset(
    ("!", ".", ":", "[", "cd", "echo", "eval", "exec", "export", "for", "if", "printf", "test", "while")
)


def check_lock(bench: Bench) -> Finding:
    """Takes the board, so that no run meets the examination."""
    if bench.lock.private:
        return ok(f"each run has {bench.kind}s for itself alone")
    try:
        bench.lock.acquire()
    except HostError as error:
        says = in_one_line(error, bench.name)
        if "is in use" in says:
            return problem(
                says.removeprefix(f"board {bench.name} is "),
                f"wait for its end; `shepherd-hil console {bench.name}` follows it",
            )
        return problem(says, "whoever owns that folder may remove it")
    return ok("free")


def check_port(bench: Bench) -> Finding:
    """The port is there, may be opened, and is nobody else's."""
    if bench.console is None:
        return not_checked(bench.lacks("console"))
    url = bench.console.port
    if url is not None and "://" not in url:
        finding = device_fault(Path(url))
        if finding is not None:
            return finding
        users = list(port_users(Path(url)))
        if users:
            return problem(
                f"{url} is in use by {', '.join(map(str, users))}, which takes bytes away",
                f"end it (sudo kill {users[0].pid})",
            )
    try:
        bench.open_wire()
    except HilError as error:
        says, _, advice = in_one_line(error, bench.name).partition("; ")
        return problem(says, advice)
    if url is None:
        return ok(f"none; the console is heard {bench.console.source}, read only")
    return ok(f"{url} opens")


def device_fault(path: Path) -> Finding | None:
    """What keeps this user from a device, without opening it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        there = sorted(str(name) for name in _BY_ID.iterdir()) if _BY_ID.is_dir() else []
        here = f"this host has {', '.join(there)}" if there else "this host has no USB serial adapter at all"
        says = f"{path} points nowhere" if path.is_symlink() else f"there is no {path}"
        return problem(f"{says}; {here}", "plug the adapter in, or correct the port in boards.toml")
    except OSError as error:
        return problem(f"cannot look at {path}: {error.strerror}", "correct the port in boards.toml")
    if not stat.S_ISCHR(found.st_mode):
        return problem(f"{path} is no serial device", f"name one of ls -l {_BY_ID}/ in boards.toml")
    if os.access(path, os.R_OK | os.W_OK):
        return None
    group = group_name(found.st_gid)
    if not found.st_mode & stat.S_IWGRP or not found.st_mode & stat.S_IRGRP:
        mode = stat.filemode(found.st_mode)
        return problem(
            f"{path} is for its owner alone ({mode})", f"sudo chmod g+rw {path}, or a udev rule that does so"
        )
    if in_group(found.st_gid):
        return problem(f"this log-in began before you joined group {group}, which owns {path}", "log out and in again")
    return problem(
        f"permission denied: {path} belongs to group {group}, which you are not in",
        f"sudo usermod -aG {group} $USER, and log out and in again",
    )


def group_name(gid: int) -> str:
    """A group's name, or its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def in_group(gid: int) -> bool:
    """Whether the system lists this user in a group, also if this process is too old to know."""
    import pwd

    with contextlib.suppress(KeyError):
        user = pwd.getpwuid(os.getuid())
        return gid == user.pw_gid or user.pw_name in grp.getgrgid(gid).gr_mem
    return False


@dataclass(slots=True, frozen=True)
class Process:
    """A process of this host."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def _processes() -> Iterator[Process]:
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):  # it has ended
                yield Process(int(folder.name), (folder / "comm").read_text(errors="replace").strip())


def port_users(path: Path) -> Iterator[Process]:
    """The processes that have a device open, as far as this user may see that.

    The other end of a pseudo terminal is none of them.
    """
    device = os.path.realpath(path)
    for process in _processes():
        with contextlib.suppress(OSError):
            links = {name: str(name.readlink()) for name in (_PROC / str(process.pid) / "fd").iterdir()}
            if device in links.values() and not _is_other_end(links, device):
                yield process


def _is_other_end(links: dict[Path, str], device: str) -> bool:
    """Whether who has these files open is what a pseudo terminal leads to: an emulator, socat, QEMU."""
    folder, _, number = device.rpartition("/")
    if folder != "/dev/pts":
        return False
    for name, target in links.items():
        if target.endswith("/ptmx"):
            info = (name.parents[1] / "fdinfo" / name.name).read_text()
            if re.search(rf"^tty-index:\s*{number}$", info, re.MULTILINE):
                return True
    return False


def check_rivals(bench: Bench) -> Finding:
    """No program runs that grabs serial adapters by itself."""
    if bench.console is None:
        return not_checked(bench.lacks("console"))
    url = bench.console.port
    if url is None:
        return ok("none is used; the console is heard by the logic analyzer")
    if "://" in url or not (_USB.match(Path(url).name) or _USB.match(Path(os.path.realpath(url)).name)):
        return ok("this port is no USB adapter, which are what ModemManager and brltty grab")
    found = {process.name: process for process in _processes() if process.name in _RIVALS}
    if not found:
        return ok("neither ModemManager nor brltty runs")
    what = [f"{process} runs: {_RIVALS[name][0]}" for name, process in found.items()]
    return warning("; ".join(what), "; ".join(_RIVALS[name][1] for name in found))


def check_power(bench: Bench) -> Finding:
    """The programs that switch power are there; nothing is switched."""
    if bench.own is not None:
        state = bench.own.control.status().get("power")
        return ok(f"the {bench.kind}'s own; it says: {state}")
    power = bench.config.power
    if power is None:
        return not_checked(f"{bench.lacks('power')}: a dead board must reboot by itself, or by hand")
    programs = []
    for key, line in (("cycle", power.cycle), ("off", power.off), ("on", power.on)):
        if line is None:
            continue
        try:
            names = program_names(line)
        except ValueError as error:
            return problem(f"{key} = {line!r} is no shell command: {error}", "correct it in boards.toml")
        for name in names:
            if shutil.which(name) is None:
                how = "it is not on PATH" if "/" not in name else _why_not_run(Path(name))
                return problem(
                    f"{key} = {line!r} cannot run {name}: {how}", f"install it, or correct {key} in boards.toml"
                )
        programs += [name for name in names if name not in programs]
    return ok(f"{' and '.join(programs) or 'a line of the shell alone'} can be run; --power tries it")


def _why_not_run(path: Path) -> str:
    return "it may not be executed" if path.exists() else "there is no such file"


def program_names(line: str) -> list[str]:
    """The program that a shell's line runs first, and where that is ``sudo`` also the one behind it; builtins left out.

    Raises:
        ValueError: its quotes do not match.
    """
    words = shlex.split(line)
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words.pop(0)
    if not words or words[0].strip("()") in _BUILTINS or re.search(r"[$`(){};&|<>*?]", words[0]):
        return []
    names = [words.pop(0)]
    if names[0] == "sudo" and words and not words[0].startswith("-"):
        names += program_names(shlex.join(words))
    elif names[0] == "sudo" and words[:1] == ["-n"] and len(words) > 1 and not words[1].startswith("-"):
        names += program_names(shlex.join(words[1:]))
    return names

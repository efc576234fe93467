"""Checks of the board's side, all over SSH: log-in, root, kernel console, loglevel, SysRq, module, pstore."""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING

from pytest_shepherd_hil.doctor.finding import Finding, in_one_line, not_checked, ok, problem, warning
from pytest_shepherd_hil.errors import HilError, ShellError

if TYPE_CHECKING:
    from pytest_shepherd_hil.doctor.bench import Bench

__all__ = [
    "check_kernel_console",
    "check_loglevel",
    "check_module",
    "check_own",
    "check_pstore",
    "check_root",
    "check_ssh",
    "check_sysrq",
    "kernel_rate",
    "serial_consoles",
]

_SERIAL = re.compile(r"(?:tty[A-Za-z]+|hvc)\d+")
_SHOW_ALL = 8
_SYSRQ_DUMP, _SYSRQ_SYNC, _SYSRQ_REBOOT = 8, 16, 128
_SYSRQ_LACKS = {
    _SYSRQ_DUMP: "show what a hung kernel does (w, l, t)",
    _SYSRQ_SYNC: "sync its file systems (s)",
    _SYSRQ_REBOOT: "restart it (b)",
}


def check_own(bench: Bench) -> Finding:
    """A board of our own starts."""
    try:
        bench.start()
    except HilError as error:
        says, _, advice = in_one_line(error, bench.name).partition("; ")
        return problem(says, advice)
    return ok(f"an {bench.kind} was started for this" if bench.config.sim else f"a {bench.kind} was started for this")


def check_ssh(bench: Bench) -> Finding:
    """The board's shell answers."""
    if bench.ssh is None:
        return not_checked(bench.lacks("ssh"))
    deadline = time.monotonic() + (bench.config.boot_timeout_s if bench.own is not None else 0.0)
    while True:
        try:
            result = bench.run("uname -n -r", sudo=False, timeout_s=bench.ssh.connect_timeout_s + 5.0)
            break
        except HilError as error:
            if isinstance(error, ShellError) and error.may_pass and time.monotonic() < deadline:
                time.sleep(0.1)  # it boots
                continue
            says, _, advice = in_one_line(error, bench.name).partition("; ")
            return problem(says, advice)
    target = f"{bench.ssh.user}@{bench.ssh.host}:{bench.ssh.port}"
    if not result.ok:
        return problem(
            f"{target}: `uname -n -r` ended with {result.exit_status}: {result.stderr.strip()}", "log in by hand"
        )
    host, _, release = result.stdout.strip().partition(" ")
    return ok(f"{target} is {host}, kernel {release}")


def check_root(bench: Bench) -> Finding:
    """Commands run as root: kernel log, loglevel and modules need that."""
    ssh = bench.ssh
    assert ssh is not None
    result = bench.run("id -u")
    if result.ok and result.stdout.strip() == "0":
        return ok("sudo -n works" if ssh.sudo else f"{ssh.user} is root")
    if not ssh.sudo:
        return problem(
            f"{ssh.user} is not root, and sudo is off: kernel log, loglevel and modules are out of reach",
            f"set sudo = true in [boards.{bench.name}.ssh]",
        )
    said = (result.stderr or result.stdout).strip()
    if "password is required" in said:
        rule = f"echo '{ssh.user} ALL=(ALL) NOPASSWD: ALL' | sudo tee /etc/sudoers.d/hil"
        return problem("sudo -n: it asks for a password", f"on the board: {rule}")
    if result.exit_status == 127:
        return problem("sudo -n: the board has no sudo", "install it, or log in as root and set sudo = false")
    return problem(f"sudo -n failed: {said[:300]}", f"on the board, see what `sudo -l -U {ssh.user}` says")


def serial_consoles(listing: str) -> list[str]:
    """The UARTs in ``/proc/consoles`` that the kernel prints to."""
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [
        row[0] for row in rows if len(row) == 3 and _SERIAL.fullmatch(row[0]) and "W" in row[1] and "E" in row[2][:8]
    ]


def check_kernel_console(bench: Bench) -> Finding:
    """The kernel prints to a UART."""
    listing = bench.read("/proc/consoles")
    if listing is None:
        return not_checked("the board has no /proc/consoles")
    serial = serial_consoles(listing)
    if serial:
        return ok(f"the kernel prints to {' and '.join(serial)}")
    others = ", ".join(line.split()[0] for line in listing.splitlines() if line.strip()) or "nothing"
    return problem(
        f"the kernel prints to no UART, but to {others}",
        "add console=ttyS0,115200n8 to its command line (/boot/uEnv.txt, extlinux.conf), and restart it",
    )


def kernel_rate(bench: Bench) -> tuple[int, str] | None:
    """The rate at which the kernel drives its console, in baud, and who says so; None where nobody does.

    Raises:
        ShellError: the board cannot be reached.
    """
    for tty in serial_consoles(bench.read("/proc/consoles") or ""):
        speed = bench.run(f"stty -F /dev/{tty} speed")
        if speed.ok and speed.stdout.strip().isdigit():
            return int(speed.stdout), f"stty of {tty}"
        stated = re.findall(rf"(?:^|\s)console={tty},(\d+)", bench.read("/proc/cmdline") or "")
        if stated:
            return int(stated[-1]), f"console={tty},{stated[-1]} of the kernel's command line"
    return None


def check_loglevel(bench: Bench) -> Finding:
    """Every kernel message reaches the console, or can be made to."""
    words = (bench.read("/proc/sys/kernel/printk") or "").split()
    if not words or not words[0].isdigit():
        return not_checked("the board has no /proc/sys/kernel/printk")
    level = int(words[0])
    if level >= _SHOW_ALL:
        return ok(f"{level}: every message is shown")
    if "ignore_loglevel" in (bench.read("/proc/cmdline") or "").split():
        return ok(f"{level}, but the kernel ignores it: every message is shown")
    if _is_root(bench):
        return ok(f"{level}; each run raises it to {_SHOW_ALL} for its time, so that every message is shown")
    return problem(
        f"{level}: messages of level {level} and above never reach the console, and no run can change that",
        "let commands run as root, or add loglevel=8 to the kernel's command line",
    )


def check_sysrq(bench: Bench) -> Finding:
    """A hung kernel may be asked and restarted."""
    text = bench.read("/proc/sys/kernel/sysrq")
    if text is None or not text.strip().isdigit():
        return warning(
            "this kernel has no SysRq: when it hangs, it cannot be asked what it does",
            "build it with CONFIG_MAGIC_SYSRQ and CONFIG_MAGIC_SYSRQ_SERIAL",
        )
    mask = int(text)
    lacks = [] if mask == 1 else [what for bit, what in _SYSRQ_LACKS.items() if not mask & bit]
    if not lacks:
        return ok(f"kernel.sysrq = {mask} allows all that is needed")
    if _is_root(bench):
        return ok(f"kernel.sysrq = {mask}; each run sets it to 1 for its time")
    return warning(
        f"kernel.sysrq = {mask}: through the console nobody may {', '.join(lacks)}",
        "on the board: echo kernel.sysrq=1 | sudo tee /etc/sysctl.d/90-hil.conf; sudo sysctl kernel.sysrq=1",
    )


def _is_root(bench: Bench) -> bool:
    """Whether commands may change the kernel's settings."""
    return bench.run("id -u").stdout.strip() == "0"


def check_module(bench: Bench) -> Finding:
    """The kernel module is there. Nothing is loaded."""
    module = bench.config.module
    if module is None:
        return not_checked(bench.lacks("module"))
    name = module.name
    wanted = name.replace("-", "_")
    loaded = {line.split(" ", 1)[0] for line in (bench.read("/proc/modules") or "").splitlines()}
    state = "loaded" if wanted in loaded else "not loaded"
    quoted = shlex.quote(name)
    info = bench.run(f"modinfo -n {quoted}")
    if info.ok and info.stdout.strip():
        return ok(f"{name} is {state}: {info.stdout.strip()}")
    if wanted in loaded:
        return ok(f"{name} is loaded, though not installed for modprobe")
    # As a user who may not load anything: there are modprobes that do not know -n.
    said = ""
    if bench.ssh is not None and bench.ssh.user != "root":
        dry = bench.run(f"modprobe -n {quoted}", sudo=False)
        said = (dry.stderr + dry.stdout).strip()
        if dry.ok or "not permitted" in said:
            return ok(f"{name} is {state}, and modprobe finds it")
        if dry.exit_status == 127:
            said = ""
    if info.exit_status == 127 and not said:
        return not_checked(f"{name} is not loaded, and the board has no modinfo to look for it")
    if module.load is not None and "modprobe" not in module.load:
        return not_checked(f"modprobe does not know {name}; it is loaded with `{module.load}`")
    release = bench.run("uname -r", sudo=False).stdout.strip()
    said = said or (info.stderr + info.stdout).strip()
    return problem(
        f"no module {name} for kernel {release}: {said[:300]}",
        f"install it below /lib/modules/{release}/ on the board, and run depmod there",
    )


def check_pstore(bench: Bench) -> Finding:
    """Where the kernel keeps its last words over a reboot."""
    listing = bench.run("ls /sys/fs/pstore")
    backend = (bench.read("/sys/module/pstore/parameters/backend") or "").strip()
    if not listing.ok or backend == "(null)":
        if bench.console is not None:
            return ok("none; a crash is known from the console alone")
        return warning(
            "none, and no console either: what the kernel says when it crashes is lost",
            f"add [boards.{bench.name}.console], or a ramoops region to the device tree",
        )
    records = listing.stdout.split()
    if records:
        return warning(
            f"it has {len(records)} records of an earlier crash: {', '.join(records[:3])}",
            "read them in /sys/fs/pstore on the board, then delete them: a full pstore takes no more",
        )
    mounts = bench.read("/proc/mounts")
    if mounts is not None and " /sys/fs/pstore " not in mounts:
        return warning("it is not mounted", "on the board: sudo mount -t pstore pstore /sys/fs/pstore")
    return ok("it is there and empty")

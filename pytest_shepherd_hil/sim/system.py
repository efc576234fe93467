"""The files of a running board: ``/proc``, ``/sys``, ``/dev`` and a few more."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pytest_shepherd_hil.sim.kernel import RELEASE
from pytest_shepherd_hil.sim.shepherd import CMA_TOTAL_KB, Shepherd
from pytest_shepherd_hil.sim.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_shepherd_hil.sim.life import Life
    from pytest_shepherd_hil.sim.machine import Machine

__all__ = ["COMMAND_LINE", "HOSTNAME", "VERSION", "System"]

HOSTNAME = "sim"
BUILD = "#1focal SMP PREEMPT Wed Sep 22 19:41:00 UTC 2021"
VERSION = f"Linux version {RELEASE} (voodoo@rpi4b4g-06) (gcc version 9.3.0 (Ubuntu 9.3.0-17ubuntu1~20.04)) {BUILD}"
COMMAND_LINE = "console=ttyS0,115200n8 root=/dev/mmcblk0p1 ro rootfstype=ext4 rootwait coherent_pool=1M cma=48M quiet"
_OS_RELEASE = (
    'PRETTY_NAME="Debian GNU/Linux 10 (buster)"\nNAME="Debian GNU/Linux"\nVERSION_ID="10"\n'
    'VERSION="10 (buster)"\nVERSION_CODENAME=buster\nID=debian\n'
)


class System:
    """The files and the module of one life.

    Args:
        machine: the board.
        life: this boot.
        fault: what goes wrong with the module.
        fault_after: when; see :class:`~pytest_shepherd_hil.sim.shepherd.Shepherd`.
        ramoops: the log of a kernel that panicked before this boot, as a memory that survives a reset keeps it.
    """

    def __init__(self, machine: Machine, life: Life, fault: str, fault_after: int | None, ramoops: str = "") -> None:
        self.life = life
        self.tree = Tree()
        self.shepherd = Shepherd(machine, life, self.tree, fault, fault_after)
        self.hostname = HOSTNAME
        kernel = life.kernel
        add = self.tree.add
        add("/proc/sys/kernel/printk", lambda: "\t".join(map(str, kernel.loglevels)) + "\n", self._set_loglevels)
        for name in life.sysctl:
            add(f"/proc/sys/kernel/{name}", self._sysctl_reader(name), self._sysctl_writer(name))
        add("/proc/sys/kernel/hostname", lambda: self.hostname + "\n", self._set_hostname)
        add("/proc/sys/kernel/osrelease", lambda: RELEASE + "\n")
        add("/proc/sys/kernel/random/boot_id", lambda: life.boot_id + "\n")
        add("/proc/meminfo", self._meminfo)
        add("/proc/modules", self.shepherd.modules)
        add("/proc/uptime", lambda: f"{kernel.time_s:.2f} {kernel.time_s * 0.9:.2f}\n")
        add("/proc/version", lambda: VERSION + "\n")
        add("/proc/cmdline", lambda: COMMAND_LINE + "\n")
        add("/proc/consoles", lambda: "ttyS0                -W- (EC p a)    4:64\n")
        add("/proc/sysrq-trigger", str, lambda data: machine.sysrq(life, data[:1]), secret=True)
        add("/dev/null", str, lambda _: None, everyone=True)
        add("/dev/kmsg", self._kmsg, self._write_kmsg)
        add("/etc/os-release", lambda: _OS_RELEASE)
        add("/etc/hostname", lambda: HOSTNAME + "\n")
        if ramoops:
            add("/sys/fs/pstore/dmesg-ramoops-0", lambda: "Panic#1 Part1\n" + ramoops)
        for number, name in ((0, "wkup_m3"), (1, "4a334000.pru"), (2, "4a338000.pru")):
            folder = f"/sys/class/remoteproc/remoteproc{number}/"
            add(folder + "name", _constant(name))
            add(folder + "firmware", _constant(f"am335x-pru{number - 1}-shepherd-fw" if number else "am335x-pm.elf"))
            add(folder + "state", self._proc_state if number else _constant("running"))

    def uname(self) -> dict[str, str]:
        """What ``uname`` knows, by its option's letter."""
        return {
            "s": "Linux",
            "n": self.hostname,
            "r": RELEASE,
            "v": BUILD,
            "m": "armv7l",
            "o": "GNU/Linux",
        }

    def _proc_state(self) -> str:
        return "running\n" if self.shepherd.probed else "offline\n"

    def _meminfo(self) -> str:
        rows = {
            "MemTotal": 494936,
            "MemFree": 297144,
            "MemAvailable": 402388,
            "Buffers": 16940,
            "Cached": 92124,
            "SwapTotal": 0,
            "SwapFree": 0,
            "CmaTotal": CMA_TOTAL_KB,
            "CmaFree": self.shepherd.cma_free_kb,
        }
        return "".join(f"{name + ':':<15} {size:8d} kB\n" for name, size in rows.items())

    def _kmsg(self) -> str:
        return "".join(record.kmsg for record in self.life.kernel.records())

    def _write_kmsg(self, data: bytes) -> None:
        self.life.check()
        self.life.kernel.write_kmsg(data)

    def _set_loglevels(self, data: bytes) -> None:
        words = data.split()
        if not words or len(words) > 4 or not all(word.isdigit() for word in words):
            raise OSError(errno.EINVAL, "printk")
        for index, word in enumerate(words):
            self.life.kernel.loglevels[index] = int(word)

    def _set_hostname(self, data: bytes) -> None:
        self.hostname = data.decode("utf-8", "replace").strip()[:64]

    def _sysctl_reader(self, name: str) -> Callable[[], str]:
        return lambda: f"{self.life.sysctl[name]}\n"

    def _sysctl_writer(self, name: str) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            try:
                self.life.sysctl[name] = int(data)
            except ValueError:
                raise OSError(errno.EINVAL, name) from None

        return write


def _constant(text: str) -> Callable[[], str]:
    return lambda: text + "\n"

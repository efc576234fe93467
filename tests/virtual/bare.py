"""Machines of other architectures than the virtual board's, to record from: a kernel, busybox, our kernel modules.

They have no network and no SSH: process 1 takes commands line by line from the UART. What they need (an emulator and a
compiler for each) is asked of whoever records, and of nobody else.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual import kernel, tools
from pytest_shepherd_hil.virtual.initramfs import Archive, applets
from pytest_shepherd_hil.virtual.packages import Apt, Wanted
from pytest_shepherd_hil.virtual.sources import Sources
from tests.virtual.faults import HILFAULT, SHEPHERD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.virtual.faults import Fault

__all__ = ["ARCHITECTURES", "Architecture", "BareBuild", "BareMachine", "build"]

BUSYBOX = "busybox-static"
SOURCE = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian {suite} main"
READY = b"hil: board is ready\r\n"
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t debugfs debugfs /sys/kernel/debug
stty -echo
echo 8 >/proc/sys/kernel/printk
echo "hil: board is ready"
while read -r line; do
    setsid sh -c "$line" </dev/null
done >/dev/null 2>&1
"""
"""Process 1. What a command prints is not the kernel's word, and is not shown."""


@dataclass(frozen=True)
class Architecture:
    """A machine that can be recorded from.

    Attributes:
        name: as the names of its logs begin.
        architecture: as Debian calls it.
        flavour: of Debian's kernel.
        arch: as the kernel's own build calls it.
        cross: what the names of its compiler and binutils begin with.
        emulator: and what the machine is made of.
        console: the kernel's name for its UART.
        packages: Debian packages that bring emulator and compiler.
        modules: of ours, those that its kernel has everything for.
        silent: faults that this CPU does not notice, or whose logs would tell nothing new.
        suite: of Debian, where the kernel is not the system's own.
        keeps_symbols: whether the module that crashed is kept beside the logs.
    """

    name: str
    architecture: str
    flavour: str
    arch: str
    cross: str
    emulator: tuple[str, ...]
    console: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    silent: tuple[str, ...] = ()
    suite: str = ""
    keeps_symbols: bool = False

    @property
    def faults(self) -> dict[str, Fault]:
        """Those that it can have, by the names of their logs."""
        return {
            f"{fault.module}-{fault.name}": fault
            for fault in (*HILFAULT, *SHEPHERD)
            if fault.module in self.modules and fault.name not in self.silent
        }

    @property
    def lacks(self) -> list[str]:
        """The tools that this host has not."""
        return [tool for tool in (self.emulator[0], f"{self.cross}gcc") if shutil.which(tool) is None]


ARCHITECTURES = {
    each.name: each
    for each in (
        Architecture(
            "amd64",
            architecture="amd64",
            flavour="amd64",
            arch="x86",
            cross="x86_64-linux-gnu-",
            emulator=("qemu-system-x86_64", "-machine", "q35", "-cpu", "max"),
            console="ttyS0",
            packages=("qemu-system-x86", "gcc-x86-64-linux-gnu"),
            modules=("hilfault",),
            silent=("printk-flood",),
            keeps_symbols=True,
        ),
        Architecture(
            "arm64",
            architecture="arm64",
            flavour="arm64",
            arch="arm64",
            cross="aarch64-linux-gnu-",
            emulator=("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57"),
            console="ttyAMA0",
            packages=("qemu-system-arm", "gcc-aarch64-linux-gnu"),
            modules=("hilfault", "shepherd"),
            silent=("division-by-zero", "printk-flood"),
            keeps_symbols=True,
        ),
        Architecture(
            "armhf_6_12",
            architecture="armhf",
            flavour="armmp",
            arch="arm",
            cross=tools.CROSS,
            emulator=("qemu-system-arm", "-machine", "virt", "-cpu", "cortex-a15"),
            console="ttyAMA0",
            packages=("qemu-system-arm", "gcc-arm-linux-gnueabihf"),
            modules=("hilfault", "shepherd"),
            silent=("printk-flood",),
            suite="bookworm-backports",
        ),
    )
}


@dataclass(frozen=True)
class BareBuild:
    """What a machine boots, and our modules in it with their debug information, by name."""

    kernel: Path
    initramfs: Path
    release: str
    modules: Mapping[str, Path]


def build(architecture: Architecture, say: Callable[[str], None] = print) -> BareBuild:
    """Build what a machine boots, from Debian's current packages and our sources; packages are kept in the cache.

    Raises:
        HostError: it cannot be built here.
    """
    if architecture.lacks:
        raise HostError(
            f"{', '.join(architecture.lacks)} not found\n  sudo apt-get install {' '.join(architecture.packages)}"
        )
    folder = platformdirs.user_cache_path("pytest-shepherd-hil") / "recording" / architecture.name
    packages = folder / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    sources = (SOURCE.format(suite=architecture.suite),) if architecture.suite else ()
    wanted = Wanted(
        architecture.architecture,
        architecture.flavour,
        static=(BUSYBOX,),
        dynamic=(),
        suite=architecture.suite,
        sources=sources,
    )
    apt = Apt(folder / "apt", wanted)
    choice = apt.choose(say)
    say(f"{architecture.name}: kernel {choice.release}")
    apt.fetch(choice.packages, packages, lambda _: None)
    with tempfile.TemporaryDirectory(prefix="recording-") as name:
        unpacked = Path(name) / "packages"
        unpacked.mkdir()
        for package in choice.packages:
            path = packages / package.file
            if package.file.startswith("linux-image-"):
                kernel.unpack(path, unpacked)
            else:
                tools.run(["dpkg-deb", "--extract", str(path), str(unpacked)])
        ours = Sources().copied(Path(name))
        log = folder / "make.log"
        built = kernel.modules(
            ours.module, unpacked, choice.release, log, arch=architecture.arch, cross=architecture.cross
        )
        modules = {}
        for module in architecture.modules:
            modules[module] = folder / f"{module}.ko"
            shutil.copyfile(built[module], modules[module])
        result = BareBuild(folder / "kernel", folder / "initramfs", choice.release, modules)
        shutil.copyfile(unpacked / "boot" / f"vmlinuz-{choice.release}", result.kernel)
        result.initramfs.write_bytes(_initramfs(architecture, result, ours, (unpacked / "bin/busybox").read_bytes()))
    return result


def _initramfs(architecture: Architecture, built: BareBuild, sources: Sources, busybox: bytes) -> bytes:
    archive = Archive()
    for folder in ("dev", "proc", "sys", "tmp"):
        archive.folder(folder)
    archive.device("dev/console", 5, 1)
    archive.file("init", INIT.encode(), 0o755)
    archive.file("bin/busybox", busybox, 0o755)
    for applet in applets(busybox):
        archive.link(f"bin/{applet}", "busybox")
    archive.link("sbin", "bin")
    for path in sorted(sources.firmware.iterdir()):
        archive.file(f"lib/firmware/{path.name}", path.read_bytes())
    where = f"lib/modules/{built.release}"
    for name, path in built.modules.items():
        with tempfile.NamedTemporaryFile() as stripped:
            tools.run([f"{architecture.cross}strip", "--strip-debug", "-o", stripped.name, str(path)])
            archive.file(f"{where}/{name}.ko", Path(stripped.name).read_bytes())
    archive.file(f"{where}/modules.dep", "".join(f"{name}.ko:\n" for name in built.modules).encode())
    return archive.packed()


class BareMachine:
    """A machine that is on: what came out of its UART so far, and a way in.

    Attributes:
        data: what its UART has said since it was switched on.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.data = b""

    @classmethod
    @contextlib.contextmanager
    def started(cls, architecture: Architecture, built: BareBuild) -> Iterator[BareMachine]:
        """A machine that boots; it is off at the end."""
        command = [
            *("setpriv", "--pdeathsig", "KILL"),
            *architecture.emulator,
            *("-smp", "2", "-m", "256M", "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"),
            *("-kernel", str(built.kernel), "-initrd", str(built.initramfs)),
            *("-append", f"console={architecture.console} cma=16M panic=5 sysrq_always_enabled=1 loglevel=8"),
            *("-chardev", "stdio,id=uart,signal=off", "-serial", "chardev:uart"),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                yield cls(process)
            finally:
                process.kill()

    def tell(self, lines: list[str]) -> None:
        """Write lines into the UART."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self._process.stdin.flush()

    def read_until(self, done: Callable[[bytes], bool], timeout_s: float) -> None:
        """Read until it has said enough.

        Raises:
            TimeoutError: it did not, in this time.
        """
        deadline = time.monotonic() + timeout_s
        while not done(self.data):
            if not self._read(deadline - time.monotonic()):
                last = self.data[-500:].decode("utf-8", "replace")
                raise TimeoutError(f"the machine has not come so far in {timeout_s:g} s; it last said:\n{last}")

    def read_until_quiet(self, quiet_s: float, timeout_s: float) -> None:
        """Read until it has been silent for a while, at most for a given time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self._read(quiet_s):
            pass

    def _read(self, timeout_s: float) -> bool:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, timeout_s))
        said = os.read(self._process.stdout.fileno(), 65536) if ready else b""
        self.data += said
        return bool(said)

"""The virtual board's only file system: an initramfs, made without root and without ``cpio``.

The format is the kernel's ``Documentation/driver-api/early-userspace/buffer-format.rst`` (``newc``). User space is
Debian's: busybox is process 1 and most commands, kmod loads modules, dropbear is the SSH server.
"""

from __future__ import annotations

import lzma
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.text import printable
from pytest_shepherd_hil.virtual import tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Archive", "Parts", "applets", "initramfs", "libraries"]

PROGRAMS = {"busybox": "busybox", "bash": "bash-static", "kmod": "kmod", "dropbear": "dropbear"}
"""Commands of the board, and what the packages call them."""
KMOD = ("depmod", "insmod", "lsmod", "modinfo", "rmmod")
"""What kmod does besides ``modprobe``, which is linked when the board is up: the kernel calls it while it boots."""
COMMANDS_IN = ("usr/bin", "usr/sbin", "bin", "sbin")
LIBRARIES_IN = ("usr/lib/arm-linux-gnueabihf", "lib/arm-linux-gnueabihf", "usr/lib", "lib")
DRIVERS = ("virtio_mmio", "virtio_net")
"""What the kernel has as modules and QEMU's network needs."""
FOLDERS = ("dev", "proc", "sys", "tmp", "run", "var/log", "root", "mnt", "etc/dropbear", "lib/firmware")

_LIBRARY = re.compile(r"\(NEEDED\).*\[(.+)\]|program interpreter: (.+)\]")
_APPLETS = re.compile(rb"\[\0\[\[\0((?:[a-z0-9_-]+\0){100,})\0")


class Archive:
    """A ``newc`` cpio archive in memory.

    Paths are relative to the board's root. Folders on the way come by themselves.
    """

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._paths: set[str] = set()

    def folder(self, path: str, mode: int = 0o755) -> None:
        """A folder; one that is there already stays as it is."""
        if path not in self._paths:
            self._add(path, stat.S_IFDIR | mode)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self._add(path, stat.S_IFREG | mode, content)

    def link(self, path: str, target: str) -> None:
        """A symbolic link; where something has that name already, it stays."""
        if path not in self._paths:
            self._add(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path: str, major: int, minor: int) -> None:
        """A character device."""
        self._add(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def packed(self) -> bytes:
        """The whole archive. It is not compressed: to unpack it would take an emulated processor a second."""
        return b"".join([*self._entries, _entry(0, "TRAILER!!!", 0, b"", (0, 0))])

    def _add(self, path: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        assert path not in self._paths, f"{path} comes twice"
        folder, _, _ = path.rpartition("/")
        if folder:
            self.folder(folder)
        self._paths.add(path)
        self._entries.append(_entry(len(self._paths), path, mode, content, device))


def _entry(inode: int, path: str, mode: int, content: bytes, device: tuple[int, int]) -> bytes:
    name = path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(name), 0)
    header = b"070701" + "".join(f"{field:08x}" for field in fields).encode() + name
    return _padded(header) + _padded(content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)


@dataclass(frozen=True, slots=True)
class Parts:
    """What goes on the board.

    Attributes:
        packages: folder in which the board's Debian packages are unpacked.
        release: of the kernel, as in ``lib/modules``.
        modules: our own kernel modules, with debug information (which stays here).
        firmware: folder whose files go to ``/lib/firmware``; need not exist.
        rootfs: folder whose files go on the board as they are.
        authorized_key: the public key that may log in as root.
        host_key: the board's private host key, as dropbear keeps it.
    """

    packages: Path
    release: str
    modules: Mapping[str, Path]
    firmware: Path
    rootfs: Path
    authorized_key: str
    host_key: bytes


def initramfs(parts: Parts, scratch: Path) -> bytes:
    """The board's file system, to be given to QEMU's ``-initrd``.

    Args:
        scratch: a folder to work in; it may be deleted afterwards.

    Raises:
        HostError: a package does not hold what is needed, or a tool failed.
    """
    archive = Archive()
    for alias in ("bin", "sbin", "usr/sbin"):
        archive.link(alias, f"{'' if '/' in alias else 'usr/'}bin")
    for folder in FOLDERS:
        archive.folder(folder, 0o700 if folder == "root" else 0o755)
    archive.device("dev/console", 5, 1)  # open before anything is mounted: what process 1 says has to go somewhere
    archive.link("init", "usr/bin/busybox")
    programs = {name: _found(parts.packages, COMMANDS_IN, file) for name, file in PROGRAMS.items()}
    for name, path in programs.items():
        archive.file(f"usr/bin/{name}", path.read_bytes(), 0o755)
    for name in KMOD:
        archive.link(f"usr/bin/{name}", "kmod")
    for name in applets(programs["busybox"].read_bytes()):
        if name != "modprobe":
            archive.link(f"usr/bin/{name}", "busybox")
    for library in libraries(parts.packages, programs.values()):
        archive.file(f"lib/{library.name}", library.read_bytes(), 0o755)
    _add_tree(archive, "lib/modules", _modules(parts, scratch) / "lib/modules")
    _add_tree(archive, "lib/firmware", parts.firmware)
    _add_tree(archive, "", parts.rootfs)
    archive.folder("root/.ssh", 0o700)
    archive.file("root/.ssh/authorized_keys", parts.authorized_key.encode() + b"\n", 0o600)
    archive.file("etc/dropbear/dropbear_ed25519_host_key", parts.host_key, 0o600)
    return archive.packed()


def _add_tree(archive: Archive, where: str, folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            archive.file(f"{where}/{name}".lstrip("/"), content, 0o755 if content.startswith(b"#!") else 0o644)


def applets(busybox: bytes) -> list[str]:
    """Every command that this busybox knows; ``busybox --list`` would say so, but runs on the board only."""
    found = _APPLETS.search(busybox)
    if found is None:
        raise HostError("Debian's busybox-static for armhf does not hold a list of its commands where it used to")
    return ["[", "[[", *found[1].rstrip(b"\0").decode().split("\0")]


def libraries(packages: Path, programs: Iterable[Path]) -> list[Path]:
    """The shared libraries that programs ask for, and those that these ask for, and so on."""
    found: dict[str, Path] = {}
    asking = list(programs)
    while asking:
        for name in _needed(asking.pop()):
            if name not in found:
                found[name] = _found(packages, LIBRARIES_IN, name)
                asking.append(found[name])
    return [found[name] for name in sorted(found)]


def _found(packages: Path, folders: Iterable[str], name: str) -> Path:
    for folder in folders:
        path = packages / folder / name
        if path.exists():
            return path
    raise HostError(f"none of the Debian packages for the virtual board holds {printable(name)}")


def _needed(program: Path) -> Iterable[str]:
    text = tools.run([f"{tools.CROSS}readelf", "--dynamic", "--program-headers", "--wide", str(program)])
    for found in _LIBRARY.finditer(text):
        yield found[1] or found[2].rpartition("/")[2]


def _modules(parts: Parts, scratch: Path) -> Path:
    """A root folder with the kernel modules that the board can load, and the index that modprobe reads."""
    root = scratch / "modules"
    source = parts.packages / "lib/modules" / parts.release
    target = root / "lib/modules" / parts.release
    target.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin"):
        (target / name).write_bytes((source / name).read_bytes())
    for name, path in parts.modules.items():
        (target / "extra").mkdir(exist_ok=True)
        tools.run([f"{tools.CROSS}strip", "--strip-debug", "-o", str(target / "extra" / f"{name}.ko"), str(path)])
    known = {path.name.partition(".")[0].replace("-", "_"): path for path in sorted(source.rglob("*.ko*"))}
    wanted = [*DRIVERS, *(name for path in parts.modules.values() for name in _asked_for(path))]
    taken = set(parts.modules)
    while wanted:
        name = wanted.pop().replace("-", "_")
        if name in taken:
            continue
        taken.add(name)
        if name not in known:
            raise HostError(f"Debian's kernel {parts.release} has no module {printable(name)}")
        copy = target / known[name].relative_to(source).with_name(f"{name}.ko")
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = known[name].read_bytes()
        copy.write_bytes(lzma.decompress(content) if known[name].suffix == ".xz" else content)
        wanted += _asked_for(copy)
    tools.run(["depmod", "--basedir", str(root), parts.release])
    return root


def _asked_for(module: Path) -> list[str]:
    """The modules that a module says it needs."""
    found = re.search(rb"\0depends=([A-Za-z0-9_,-]*)\0", module.read_bytes())
    return [name for name in found[1].decode().split(",") if name] if found else []

"""How a virtual board is put together."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.virtual import kernel, tools
from pytest_shepherd_hil.virtual.initramfs import Parts, initramfs
from pytest_shepherd_hil.virtual.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_shepherd_hil.virtual.packages import Choice, Package
    from pytest_shepherd_hil.virtual.sources import Sources

__all__ = ["make"]

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@%=-]+")


def make(
    folder: Path, choice: Choice, packages: Path, sources: Sources, log: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Put everything of a board into ``folder``: ``kernel``, ``initramfs``, ``client_key`` and ``modules/``.

    Args:
        folder: an empty one.
        packages: where the chosen packages are, as files.
        log: gets what the compiler said.
        say: shown a line per step.

    Returns:
        What is to be known of it later.

    Raises:
        HostError: a package is not what it should be, or the modules do not build.
    """
    # make cannot do with a space or a colon in a path
    elsewhere = None if _PLAIN_PATH.fullmatch(str(folder)) else tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="virtual-board-", dir=elsewhere or folder) as name:
        scratch = Path(name)
        started = time.monotonic()
        say(f"Unpacking {len(choice.packages)} packages")
        unpacked = scratch / "packages"
        _unpack(choice.packages, packages, unpacked)
        zimage = (unpacked / "boot" / f"vmlinuz-{choice.release}").read_bytes()
        (folder / "kernel").write_bytes(kernel.boot_image(zimage))

        sources = sources.copied(scratch)
        say(f"Building the kernel modules ({time.monotonic() - started:.1f} s so far)")
        (folder / "modules").mkdir()
        modules = {}
        for name, path in kernel.modules(sources.module, unpacked, choice.release, log).items():
            modules[name] = folder / "modules" / path.name
            shutil.copyfile(path, modules[name])

        say(f"Packing the file system with {', '.join(sorted(modules))} ({time.monotonic() - started:.1f} s so far)")
        client, host = Key.new(), Key.new()
        parts = Parts(
            packages=unpacked,
            release=choice.release,
            modules=modules,
            firmware=sources.firmware,
            rootfs=sources.rootfs,
            authorized_key=client.public,
            host_key=host.dropbear,
        )
        packed = initramfs(parts, scratch)
        (folder / "initramfs").touch(0o600)  # it holds the board's private host key
        (folder / "initramfs").write_bytes(packed)
        _write_private(folder / "client_key", client.private)
        return {
            "made": time.time(),
            "sources": sources.digest(),
            "release": choice.release,
            "host_key": host.public,
            "modules": sorted(modules),
            "packages": [asdict(package) for package in choice.packages],
        }


def _unpack(packages: Sequence[Package], folder: Path, unpacked: Path) -> None:
    unpacked.mkdir()
    for package in packages:
        path = folder / package.file
        if package.file.startswith("linux-image-"):
            kernel.unpack(path, unpacked)
        else:
            tools.run(["dpkg-deb", "--extract", str(path), str(unpacked)])


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)

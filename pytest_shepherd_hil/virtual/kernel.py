"""The kernel that the virtual board boots, and the modules that are built for it."""

from __future__ import annotations

import lzma
import os
import re
import struct
import subprocess
import tarfile
import zlib
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual import tools

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["boot_image", "modules", "unpack"]

MEMORY_START = 0x4000_0000
"""Where the memory of QEMU's ``virt`` machine begins."""

_WANTED = re.compile(
    r"(?:\./)?(?:boot/vmlinuz-[^/]+|(?:usr/)?(lib/modules/[^/]+/(?:modules\.[^/]+|"
    r"kernel/(?:drivers/(?:net/[^/]+|virtio/.+)|net/core/.+|lib/.+))))"
)
"""The kernel, and of its 3000 modules those that a network needs: unpacking all takes three times as long."""
_TABLE_AT, _TABLE_SEAL, _TABLE_TAG = 0x34, 0x4545_4545, 0x5A53_4C4B
_XZ = b"\xfd7zXZ\0"
_UIMAGE_SEAL, _LINUX, _ARM, _KERNEL = 0x2705_1956, 5, 2, 2
_MAKE_S = 600


def unpack(package: Path, folder: Path) -> None:
    """Unpack what a virtual board can use of a kernel's Debian package, to ``boot`` and ``lib/modules``.

    Raises:
        HostError: the package cannot be read.
    """
    arguments = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isreg() else None
                    found = _WANTED.fullmatch(member.name)
                    if content is not None and found:
                        path = folder / (found[1] or found[0])
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(content.read())
        except tarfile.TarError as error:
            raise HostError(f"{package.name} cannot be unpacked: {error}") from error
        finally:
            process.kill()


def boot_image(zimage: bytes) -> bytes:
    """A kernel that QEMU can start at once: unpacked, as an uncompressed U-Boot image.

    A zImage unpacks itself, which takes an emulated processor 2 to 3 s. One whose contents cannot be told is returned
    as it is. The layout is that of the kernel's ``arch/arm/boot/compressed/vmlinux.lds.S`` and U-Boot's ``image.h``.
    """
    try:
        seal, table = struct.unpack_from("<II", zimage, _TABLE_AT)
        _, tag, end, _, text_offset = struct.unpack_from("<5I", zimage, table)
        if (seal, tag) != (_TABLE_SEAL, _TABLE_TAG):
            return zimage
        image = lzma.decompress(zimage[max(zimage.rfind(_XZ, 0, end), 0) : end])
    except (struct.error, lzma.LZMAError):
        return zimage
    address = MEMORY_START + text_offset
    return _uimage_header(image, address) + image


def _uimage_header(image: bytes, address: int) -> bytes:
    def header(checksum: int) -> bytes:
        where = (len(image), address, address, zlib.crc32(image))
        return struct.pack(">7I4B32s", _UIMAGE_SEAL, checksum, 0, *where, _LINUX, _ARM, _KERNEL, 0, b"Linux")

    return header(zlib.crc32(header(0)))


def modules(
    source: Path, packages: Path, release: str, log: Path, *, arch: str = "arm", cross: str = tools.CROSS
) -> dict[str, Path]:
    """Build the kernel modules in ``source``, in place.

    Args:
        source: a folder with a ``Kbuild``.
        packages: folder in which the kernel's headers and their tools are unpacked; they are made to work there.
        release: of the kernel.
        log: gets all that the compiler said.
        arch: what the kernel's own build calls the architecture.
        cross: what the names of the compiler and its binutils begin with.

    Returns:
        The modules with their debug information, by name.

    Raises:
        HostError: they cannot be built; the message ends as the log does.
    """
    headers = packages / "usr/src" / f"linux-headers-{release}"
    makefile = headers / "Makefile"
    makefile.write_text(makefile.read_text().replace(" /usr/src/", f" {packages}/usr/src/"))
    # The headers name the version of the compiler that built the kernel, which is not everywhere.
    compiler = [f"ARCH={arch}", f"CROSS_COMPILE={cross}", f"CC={cross}gcc"]
    arguments = ["make", "-C", str(headers), f"M={source}", *compiler]
    # Debug information names sources as in their folders, wherever these were.
    names = f"-fdebug-prefix-map={source}/= -fdebug-prefix-map={packages}="
    arguments += [f"-j{os.cpu_count() or 1}", f"KCFLAGS={names}", "modules"]
    # Under a make that runs us these would speak of its own job server and variables.
    ours = {"MAKEFLAGS": "", "MFLAGS": "", "MAKELEVEL": "", "MAKEOVERRIDES": "", "KBUILD_OUTPUT": "", "O": ""}
    output, status = tools.attempt(arguments, environment=ours, timeout_s=_MAKE_S)
    log.write_text(output)
    built = {path.stem: path for path in sorted(source.glob("*.ko"))}
    if status != 0 or not built:
        raise HostError(
            f"the virtual board's kernel modules do not build for {release} (exit status {status}):\n"
            f"{tools.quoted(output)}\n  All that the compiler said is in {log}"
        )
    return built

"""The kernel image that starts without unpacking itself, and modules that do not build."""

from __future__ import annotations

import lzma
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual.kernel import boot_image, modules
from tests.requirements import require

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = bytes(range(256)) * 500


def zimage(payload: bytes, *, text_offset: int = 0x208000) -> bytes:
    """A zImage as the kernel's linker script lays it out; its code, which unpacks, holds the xz magic itself."""
    code = b"\xfd7zXZ\0".ljust(0x100, b"\0")
    end = 0x40 + len(code) + len(payload)
    table = struct.pack("<6I", 5, 0x5A534C4B, end, 0, text_offset, 0)
    body = code + payload + struct.pack("<I", len(IMAGE)) + table
    header = bytes(0x24) + struct.pack("<6I", 0x016F2818, 0, 0x40 + len(body), 0x04030201, 0x45454545, end + 4)
    return header.ljust(0x40, b"\0") + body


def test_a_zimage_becomes_an_image_that_qemu_can_start_at_once() -> None:
    image = boot_image(zimage(lzma.compress(IMAGE)))
    header, content = image[:64], image[64:]
    assert content == IMAGE
    seal, checksum, _, size, load, entry, content_checksum = struct.unpack_from(">7I", header)
    assert seal == 0x27051956
    assert size == len(IMAGE)
    assert load == entry == 0x40208000
    assert content_checksum == zlib.crc32(IMAGE)
    assert checksum == zlib.crc32(header[:4] + bytes(4) + header[8:])
    assert tuple(header[28:32]) == (5, 2, 2, 0)  # Linux, ARM, kernel, not compressed


@pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(zimage(b"not xz"), id="packed in another way"),
        pytest.param(zimage(lzma.compress(IMAGE)[:-20]), id="cut off"),
        pytest.param(zimage(lzma.compress(IMAGE))[:100], id="without its table"),
        pytest.param(bytes(20), id="nearly empty"),
        pytest.param(bytes(100_000), id="something else"),
    ],
)
def test_a_kernel_that_is_not_understood_stays_as_it_is(kernel: bytes) -> None:
    assert boot_image(kernel) == kernel


@require("make")
def test_modules_that_do_not_build_are_told_as_the_compiler_told_it(tmp_path: Path) -> None:
    headers = tmp_path / "packages/usr/src/linux-headers-6.1.0-1-armmp"
    headers.mkdir(parents=True)
    (headers / "Makefile").write_text("modules:\n\t@echo \"$(M)/shepherd.c:7: error: 'x' undeclared\"\n\t@exit 3\n")
    source = tmp_path / "module"
    source.mkdir()
    log = tmp_path / "make.log"
    with pytest.raises(HostError) as caught:
        modules(source, tmp_path / "packages", "6.1.0-1-armmp", log)
    text = str(caught.value)
    assert "kernel modules do not build for 6.1.0-1-armmp" in text
    assert f"  | {source}/shepherd.c:7: error: 'x' undeclared" in text
    assert f"All that the compiler said is in {log}" in text
    assert "shepherd.c:7" in log.read_text()


@require("make")
def test_a_make_that_runs_the_tests_does_not_reach_into_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEFLAGS", "n")
    headers = tmp_path / "packages/usr/src/linux-headers-1-armmp"
    headers.mkdir(parents=True)
    (headers / "Makefile").write_text("modules:\n\t@touch $(M)/shepherd.ko\n")
    source = tmp_path / "module"
    source.mkdir()
    assert modules(source, tmp_path / "packages", "1-armmp", tmp_path / "log") == {"shepherd": source / "shepherd.ko"}

"""The virtual board's file system: the archive read back as the kernel reads it, and what is looked for in programs."""

from __future__ import annotations

import shutil
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual.initramfs import Archive, applets, libraries
from tests.requirements import require

if TYPE_CHECKING:
    from pathlib import Path

CC = "arm-linux-gnueabihf-gcc"


@dataclass(frozen=True)
class Entry:
    """One entry, field by field as in buffer-format.rst."""

    path: str
    mode: int
    content: bytes
    device: tuple[int, int]
    inode: int


def entries(data: bytes) -> list[Entry]:
    found: list[Entry] = []
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        assert at % 4 == 0
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        inode, mode, uid, gid, _, mtime, size, _, _, major, minor, name_size, check = fields
        assert (uid, gid, mtime, check) == (0, 0, 0, 0)
        name = data[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        at = -(-(at + 110 + name_size) // 4) * 4
        content = data[at : at + size]
        at = -(-(at + size) // 4) * 4
        if name == b"TRAILER!!!\0":
            assert at == len(data)
            return found
        found.append(Entry(name[:-1].decode(), mode, content, (major, minor), inode))


def example() -> Archive:
    archive = Archive()
    archive.file("etc/init.d/start", b"#!/bin/sh\n", 0o755)
    archive.file("etc/empty", b"")
    archive.folder("root", 0o700)
    archive.link("bin", "usr/bin")
    archive.device("dev/console", 5, 1)
    return archive


def test_everything_reads_back_with_its_mode_and_content() -> None:
    read = {entry.path: entry for entry in entries(example().packed())}
    start = read["etc/init.d/start"]
    assert (start.mode, start.content) == (stat.S_IFREG | 0o755, b"#!/bin/sh\n")
    assert (read["etc/empty"].mode, read["etc/empty"].content) == (stat.S_IFREG | 0o644, b"")
    assert read["root"].mode == stat.S_IFDIR | 0o700
    assert (read["bin"].mode, read["bin"].content) == (stat.S_IFLNK | 0o777, b"usr/bin")
    assert (read["dev/console"].mode, read["dev/console"].device) == (stat.S_IFCHR | 0o600, (5, 1))


def test_a_folder_comes_before_what_is_in_it_and_once() -> None:
    paths = [entry.path for entry in entries(example().packed())]
    assert paths == ["etc", "etc/init.d", "etc/init.d/start", "etc/empty", "root", "bin", "dev", "dev/console"]


def test_every_entry_has_an_inode_of_its_own() -> None:
    inodes = [entry.inode for entry in entries(example().packed())]
    assert len(set(inodes)) == len(inodes)
    assert 0 not in inodes


def test_a_link_gives_way_to_what_has_its_name() -> None:
    archive = Archive()
    archive.file("usr/bin/kmod", b"kmod")
    archive.link("usr/bin/lsmod", "kmod")
    archive.link("usr/bin/lsmod", "busybox")
    assert {entry.path: entry.content for entry in entries(archive.packed())}["usr/bin/lsmod"] == b"kmod"


def test_the_same_content_packs_to_the_same_bytes() -> None:
    assert example().packed() == example().packed()


def test_names_and_contents_of_any_length_are_kept() -> None:
    archive = Archive()
    names = {f"l{'i' * length}b": b"x" * length for length in range(9)}
    for name, content in names.items():
        archive.file(name, content)
    assert {entry.path: entry.content for entry in entries(archive.packed())} == names


def test_busybox_is_asked_for_its_commands_without_being_run() -> None:
    names = [f"command{number}" for number in range(200)]
    binary = b"\x7fELF...\0[\0[[\0" + b"".join(name.encode() + b"\0" for name in names) + b"\0more\0"
    assert applets(binary) == ["[", "[[", *names]


def test_a_busybox_without_such_a_list_is_told() -> None:
    with pytest.raises(HostError, match="busybox-static for armhf"):
        applets(b"\x7fELF" + bytes(1000))


@require(CC)
def test_libraries_are_those_that_a_program_asks_for_and_those_that_these_ask_for(tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/arm-linux-gnueabihf"
    folder.mkdir(parents=True)
    for name, needs in {"c": [], "b": ["c"], "a": ["b", "c"], "other": ["c"]}.items():
        build(folder / f"lib{name}.so.1", folder, needs, "-shared", f"-Wl,-soname,lib{name}.so.1")
    program = tmp_path / "program"
    build(program, folder, ["a"], "-Wl,--unresolved-symbols=ignore-all,-e0", "-Wl,-dynamic-linker,/lib/ld.so.3")
    (folder / "ld.so.3").touch()
    with pytest.raises(HostError, match="readelf"):  # the loader is looked into as well
        libraries(tmp_path, [program])
    shutil.copyfile(folder / "libc.so.1", folder / "ld.so.3")
    found = [path.name for path in libraries(tmp_path, [program])]
    assert found == ["ld.so.3", "liba.so.1", "libb.so.1", "libc.so.1"]
    (folder / "libc.so.1").unlink()
    with pytest.raises(HostError, match=r"none of the Debian packages for the virtual board holds libc\.so\.1"):
        libraries(tmp_path, [program])


def build(path: Path, folder: Path, needs: list[str], *options: str) -> None:
    source = path.with_suffix(".c")
    source.write_text("int f(void) { return 0; }\n")
    flags = ["-nostdlib", "-Wl,--no-as-needed", f"-Wl,-rpath-link,{folder}"]
    linked = [str(folder / f"lib{name}.so.1") for name in needs]
    subprocess.run([CC, *flags, *options, "-o", str(path), str(source), *linked], check=True)
    source.unlink()

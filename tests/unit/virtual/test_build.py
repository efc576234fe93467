"""Which build is taken and when a new one is made. What is in one is tested in tests/virtual."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual import packages, recipe, tools
from pytest_shepherd_hil.virtual.build import Build, Workshop
from pytest_shepherd_hil.virtual.packages import Choice, Package
from pytest_shepherd_hil.virtual.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

CONTENT = {"linux-image_1_armhf.deb": b"old", "linux-image_2_armhf.deb": b"new"}
KERNEL, NEW_KERNEL = (
    Package(file, len(content), hashlib.sha256(content).hexdigest(), file) for file, content in CONTENT.items()
)


class World:
    """What a workshop has around it: Debian's packages, and a recipe that is quick.

    Attributes:
        asked: how often apt was asked for current packages.
        fetched: what was downloaded.
        made: how many builds were begun.
        during: called in the middle of each build.
    """

    def __init__(self) -> None:
        self.current = KERNEL
        self.asked = 0
        self.fetched: list[str] = []
        self.made = 0
        self.during: Callable[[], None] = lambda: None

    def choose(self, _: Callable[[str], None]) -> Choice:
        self.asked += 1
        return Choice("6.1.0-9-armmp", (self.current,))

    def fetch(self, wanted: Sequence[Package], folder: Path, _: Callable[[str], None]) -> None:
        for package in wanted:
            (folder / package.file).write_bytes(CONTENT[package.file])
            self.fetched.append(package.file)

    def make(self, folder: Path, choice: Choice, _: Path, sources: Sources, *__: object) -> dict[str, Any]:
        self.made += 1
        for name in ("kernel", "initramfs", "client_key", "modules/shepherd.ko"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name)
        self.during()
        note = {"made": time.time(), "sources": sources.digest(), "release": choice.release, "modules": ["shepherd"]}
        described = [asdict(package) for package in choice.packages]
        return {**note, "host_key": "ssh-ed25519 A", "packages": described}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    world = World()
    monkeypatch.setattr(packages, "Apt", lambda _: world)
    monkeypatch.setattr(recipe, "make", world.make)
    monkeypatch.setattr(tools, "SBIN", ())
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "bin").mkdir()
    for name in (*tools.DEBIAN, *tools.TOOLS):
        install(tmp_path / "bin" / name, "echo gcc 12")
    return world


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    sources = Sources(tmp_path / "module", tmp_path / "rootfs")
    (sources.module / "shepherd").mkdir(parents=True)
    (sources.module / "Kbuild").write_text("obj-m := shepherd.o\n")
    (sources.module / "shepherd/main.c").write_text("int x;\n")
    sources.firmware.mkdir()
    (sources.firmware / "fw").write_text("fw")
    sources.rootfs.mkdir()
    (sources.rootfs / "init").write_text("#!/bin/sh\n")
    return sources


@pytest.fixture
def workshop(tmp_path: Path, world: World, sources: Sources) -> Workshop:
    return Workshop(tmp_path / "cache", sources)


@pytest.fixture
def said() -> list[str]:
    return []


def install(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def folders(build: Build) -> list[str]:
    return sorted(path.name for path in build.folder.parent.iterdir() if path.is_dir() and path.name != "packages")


def test_there_is_none_before_one_is_made(workshop: Workshop) -> None:
    assert workshop.existing() is None


def test_one_that_was_made_is_found_again(workshop: Workshop, world: World, said: list[str]) -> None:
    made = workshop.ensure(said.append)
    assert made.kernel.read_text() == "kernel"
    assert made.modules["shepherd"].read_text() == "modules/shepherd.ko"
    assert (made.release, made.host_key) == ("6.1.0-9-armmp", "ssh-ed25519 A")
    assert made.snapshot == made.folder / "snapshot"
    said.clear()
    assert workshop.existing() == workshop.ensure(said.append) == made
    assert (world.made, said) == (1, [])


def test_building_again_without_a_change_does_nothing(workshop: Workshop, world: World, said: list[str]) -> None:
    made = workshop.refresh(said.append)
    said.clear()
    assert workshop.refresh(said.append) == made
    assert world.made == 1
    assert said == ["Asking apt for the current Debian packages", "Nothing has changed since it was built"]


@pytest.mark.parametrize("name", ["module/shepherd/main.c", "module/Kbuild", "module/firmware/fw", "rootfs/init"])
def test_a_changed_source_makes_a_new_one_without_asking_apt(
    workshop: Workshop, world: World, tmp_path: Path, name: str
) -> None:
    made = workshop.ensure(print)
    with (tmp_path / name).open("a") as file:
        file.write("# changed\n")
    assert workshop.existing() is None
    assert workshop.ensure(print).folder != made.folder
    assert (world.made, world.asked, world.fetched) == (2, 1, [KERNEL.file])


def test_what_a_compiler_leaves_is_no_change(workshop: Workshop, sources: Sources) -> None:
    made = workshop.ensure(print)
    for name in ("shepherd.o", "shepherd.ko", "shepherd.mod.c", ".shepherd.o.cmd", "Module.symvers"):
        (sources.module / name).write_text("left over")
    assert workshop.existing() == made


def test_a_new_kernel_is_taken_when_asked_for_and_not_before(workshop: Workshop, world: World) -> None:
    made = workshop.ensure(print)
    world.current = NEW_KERNEL
    assert workshop.ensure(print) == made
    new = workshop.refresh(print)
    assert new.folder != made.folder
    assert workshop.existing() == new
    assert world.fetched == [KERNEL.file, NEW_KERNEL.file]


def test_another_compiler_makes_another_build(workshop: Workshop, tmp_path: Path) -> None:
    made = workshop.refresh(print)
    install(tmp_path / "bin/arm-linux-gnueabihf-gcc", "echo gcc 13")
    assert workshop.refresh(print).folder != made.folder


def test_packages_that_are_gone_are_fetched_again(workshop: Workshop, world: World, sources: Sources) -> None:
    made = workshop.ensure(print)
    (made.folder.parent / "packages" / KERNEL.file).write_bytes(b"?")
    (sources.rootfs / "more").touch()
    workshop.ensure(print)
    assert (world.asked, world.fetched) == (2, [KERNEL.file, KERNEL.file])


def test_one_that_was_killed_halfway_does_not_count_and_is_cleared_away(workshop: Workshop, world: World) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    half = workshop.ensure(print).folder
    left = half.rename(half.with_name("building-left"))  # all of it, even its note: only the name tells
    world.during = killed
    assert workshop.existing() is None
    with pytest.raises(KeyboardInterrupt):
        workshop.ensure(print)
    assert not left.exists()
    assert workshop.existing() is None
    world.during = lambda: None
    made = workshop.ensure(print)
    assert folders(made) == [made.folder.name]


@pytest.mark.parametrize("name", ["kernel", "initramfs", "client_key", "modules/shepherd.ko", "build.json"])
def test_one_of_which_something_is_gone_is_made_again(workshop: Workshop, name: str) -> None:
    made = workshop.ensure(print)
    (made.folder / name).unlink()
    assert workshop.existing() is None
    assert workshop.ensure(print) == made
    assert (made.folder / name).exists()


@pytest.mark.parametrize("note", [b"", b"[]", b"{}", b"\xff", b'{"made": 1}'])
def test_a_damaged_note_is_no_build(workshop: Workshop, note: bytes) -> None:
    made = workshop.ensure(print)
    (made.folder / "build.json").write_bytes(note)
    assert workshop.existing() is None
    assert workshop.ensure(print) == made


def test_of_many_who_need_one_only_one_builds(tmp_path: Path, world: World, sources: Sources) -> None:
    waiting = threading.Event()
    said: list[str] = []
    builds: list[Build] = []

    def say(line: str) -> None:
        said.append(line)
        if "waiting for it" in line:
            waiting.set()

    def need() -> None:
        builds.append(Workshop(tmp_path / "cache", sources).ensure(say))

    world.during = lambda: assert_(waiting.wait(20))
    threads = [threading.Thread(target=need) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert world.made == 1
    assert len(builds) == 3
    assert builds[0] == builds[1] == builds[2]
    assert "Another process is building the virtual board; waiting for it" in said


def assert_(condition: bool) -> None:
    assert condition


def test_old_builds_go_and_their_packages_with_them(workshop: Workshop, world: World, sources: Sources) -> None:
    first = workshop.ensure(print)
    long_ago = time.time() - 3 * 24 * 3600
    os.utime(first.folder / "build.json", (long_ago, long_ago))
    world.current = NEW_KERNEL
    second = workshop.refresh(print)
    assert folders(second) == sorted([first.folder.name, second.folder.name])
    (sources.rootfs / "more").touch()
    third = workshop.ensure(print)
    assert folders(third) == sorted([second.folder.name, third.folder.name])
    assert [path.name for path in (third.folder.parent / "packages").iterdir()] == [NEW_KERNEL.file]


def test_a_build_in_use_stays(workshop: Workshop, sources: Sources) -> None:
    first = workshop.ensure(print)
    for name in ("more", "and-more"):
        (sources.rootfs / name).touch()
        last = workshop.ensure(print)
    assert first.folder.name in folders(last)


def test_using_a_build_is_noted(workshop: Workshop) -> None:
    made = workshop.ensure(print)
    os.utime(made.folder / "build.json", (1, 1))
    workshop.existing()
    assert time.time() - (made.folder / "build.json").stat().st_mtime < 60


def test_a_host_that_lacks_tools_is_told_before_anything_is_fetched(
    workshop: Workshop, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin/qemu-system-arm").unlink()
    for build in (workshop.ensure, workshop.refresh):
        with pytest.raises(HostError, match=r"lacks qemu-system-arm\n  sudo apt-get install qemu-system-arm$"):
            build(print)
    assert world.asked == 0


def test_a_build_that_is_there_needs_no_tools(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = workshop.ensure(print)
    shutil.rmtree(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert workshop.ensure(print) == made


def test_a_cache_that_cannot_be_used_is_told(tmp_path: Path, world: World, sources: Sources) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(HostError, match=rf"cannot be kept in {tmp_path}/cache: .*\n  .*XDG_CACHE_HOME"):
        Workshop(tmp_path / "cache", sources).ensure(print)


def test_a_failed_build_leaves_nothing(workshop: Workshop, world: World, tmp_path: Path) -> None:
    def fail() -> None:
        raise HostError("no")

    world.during = fail
    with pytest.raises(HostError, match=r"^no$"):
        workshop.ensure(print)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["lock", "packages"]
    world.during = lambda: None
    assert json.loads((workshop.ensure(print).folder / "build.json").read_text())["modules"] == ["shepherd"]

"""Debian packages through a real apt, from a repository in a folder."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual.packages import Apt, Choice, Wanted
from tests.requirements import require
from tests.unit.virtual.repository import RELEASE, Repository

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = require("apt-get")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    repository = Repository(tmp_path / "repository")
    repository.folder.mkdir()
    monkeypatch.setenv("APT_CONFIG", str(repository.config))
    return repository


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    return Apt(tmp_path / "apt")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return folder


def host() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def chosen(choice: Choice) -> list[str]:
    return [package.file for package in choice.packages]


def test_kernel_headers_and_user_space_are_chosen_with_what_they_depend_on(
    repository: Repository, apt: Apt, said: list[str]
) -> None:
    repository.add_board(host())
    choice = apt.choose(said.append)
    assert choice.release == RELEASE
    assert chosen(choice) == [
        "bash-static_1_armhf.deb",
        "busybox-static_1%3a1.35.0-4+b1_armhf.deb",
        "dropbear-bin_1_armhf.deb",
        "kmod_1_armhf.deb",
        "libc6_1_armhf.deb",
        "libkmod2_1_armhf.deb",
        "linux-headers-6.1.0-9-armmp_1_armhf.deb",
        "linux-headers-6.1.0-9-common_1_all.deb",
        "linux-image-6.1.0-9-armmp_1_armhf.deb",
        f"linux-kbuild-6.1_1_{host()}.deb",
    ]
    assert said == []


@pytest.mark.parametrize("architecture", ["amd64", "arm64", "armhf"])
def test_another_machine_has_its_own_kernel_and_only_what_it_asks_for(
    repository: Repository, tmp_path: Path, said: list[str], architecture: str
) -> None:
    repository.add("linux-image-plain", architecture, depends="linux-image-6.1.0-9-plain (= 1)")
    repository.add("linux-image-6.1.0-9-plain", architecture)
    headers = "linux-headers-6.1.0-9-common (= 1), linux-kbuild-6.1"
    repository.add("linux-headers-6.1.0-9-plain", architecture, depends=headers)
    repository.add("linux-headers-6.1.0-9-common", "all")
    repository.add("linux-kbuild-6.1", host())
    repository.add("busybox-static", architecture)
    wanted = Wanted(architecture, "plain", static=("busybox-static",), dynamic=())
    choice = Apt(tmp_path / "apt", wanted).choose(said.append)
    assert choice.release == "6.1.0-9-plain"
    assert chosen(choice) == [
        f"busybox-static_1_{architecture}.deb",
        "linux-headers-6.1.0-9-common_1_all.deb",
        f"linux-headers-6.1.0-9-plain_1_{architecture}.deb",
        f"linux-image-6.1.0-9-plain_1_{architecture}.deb",
        f"linux-kbuild-6.1_1_{host()}.deb",
    ]


def test_a_kernel_from_elsewhere_stands_beside_what_the_system_offers(
    repository: Repository, tmp_path: Path, said: list[str]
) -> None:
    repository.add("busybox-static")
    elsewhere = Repository(tmp_path / "elsewhere")
    elsewhere.folder.mkdir()
    for name, depends in (
        ("linux-image-armmp", "linux-image-6.12-armmp"),
        ("linux-image-6.12-armmp", ""),
        ("linux-headers-6.12-armmp", ""),
    ):
        elsewhere.add(name, depends=depends)
    sources = (f"deb [trusted=yes] file:{elsewhere.folder / 'packages'} ./",)
    wanted = Wanted(static=("busybox-static",), dynamic=(), sources=sources)
    choice = Apt(tmp_path / "apt", wanted).choose(said.append)
    assert chosen(choice) == [
        "busybox-static_1_armhf.deb",
        "linux-headers-6.12-armmp_1_armhf.deb",
        "linux-image-6.12-armmp_1_armhf.deb",
    ]


def test_what_is_chosen_can_be_fetched_once(repository: Repository, apt: Apt, packages: Path) -> None:
    repository.add_board(host())
    choice = apt.choose(print)
    assert not any(package.is_in(packages) for package in choice.packages)
    apt.fetch(choice.packages, packages, print)
    assert sorted(path.name for path in packages.iterdir()) == chosen(choice)
    assert all(package.is_in(packages) for package in choice.packages)
    for path in (repository.folder / "packages").glob("*.deb"):
        path.unlink()
    apt.fetch(choice.packages, packages, print)


def test_a_file_that_was_cut_off_is_fetched_again(repository: Repository, apt: Apt, packages: Path) -> None:
    repository.add_board(host())
    choice = apt.choose(print)
    apt.fetch(choice.packages, packages, print)
    cut = packages / "kmod_1_armhf.deb"
    cut.write_bytes(cut.read_bytes()[:-10])
    apt.fetch(choice.packages, packages, print)
    assert all(package.is_in(packages) for package in choice.packages)


def test_a_package_that_is_not_what_the_lists_say_is_refused(repository: Repository, apt: Apt, packages: Path) -> None:
    repository.add_board(host())
    choice = apt.choose(print)
    wrong = repository.folder / "packages/kmod_1_armhf.deb"
    wrong.write_bytes(wrong.read_bytes()[:-1] + b"!")
    with pytest.raises(HostError, match=r"^apt cannot fetch kmod_1_armhf\.deb \(exit status 100\)\n  \| "):
        apt.fetch(choice.packages, packages, print)


def test_a_system_that_has_no_such_kernel_is_shown_where_else_to_go(repository: Repository, apt: Apt) -> None:
    repository.add("busybox-static")
    with pytest.raises(HostError) as caught:
        apt.choose(print)
    assert str(caught.value).startswith("apt knows no linux-image-armmp for armhf")
    assert "debian:bookworm container" in str(caught.value)


def test_a_list_that_cannot_be_had_is_no_harm_if_the_rest_is_there(
    repository: Repository, apt: Apt, said: list[str]
) -> None:
    repository.add_board(host())
    repository.more_sources = f"deb [trusted=yes] file:{repository.folder}/nowhere ./\n"
    assert repository.config.exists()
    assert apt.choose(said.append).release == RELEASE
    assert said == ["apt could not fetch every list; those that it has are enough"]


def test_lists_that_cannot_be_had_are_told_as_apt_tells_it(repository: Repository, apt: Apt) -> None:
    repository.more_sources = f"deb [trusted=yes] file:{repository.folder}/nowhere ./\n"
    repository.add("busybox-static")
    assert repository.config.exists()
    with pytest.raises(HostError) as caught:
        apt.choose(print)
    assert "apt knows no linux-image-armmp" in str(caught.value)
    assert "And apt could not fetch every list:" in str(caught.value)
    assert "/nowhere" in str(caught.value)


def test_a_board_without_an_ssh_server_is_told(repository: Repository, apt: Apt) -> None:
    repository.add("linux-image-armmp", depends=f"linux-image-{RELEASE} (= 1)")
    repository.add(f"linux-headers-{RELEASE}")
    with pytest.raises(HostError, match="Unable to locate package kmod"):
        apt.choose(print)


def test_hooks_of_the_system_are_not_run(repository: Repository, apt: Apt) -> None:
    repository.add_board(host())
    apt.choose(print)
    assert not (repository.folder / "hook").exists()

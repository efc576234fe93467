"""The virtual board's Debian packages: chosen and fetched by the ordinary apt client, with folders of its own.

Sources, mirrors, proxies, pins and keys are the system's; lists, state and cache are ours, so that nothing of the
system changes and nobody has to be root. The board's architecture need not be known to the system's dpkg.
"""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual import tools

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Apt", "Choice", "Package", "Wanted"]

STATIC = ("busybox-static", "bash-static")
"""Taken without what they depend on: of that they need nothing to run."""
DYNAMIC = ("kmod", "dropbear-bin")
"""Taken with all that they depend on."""

# The system's hooks would run commands of its own, and its index targets fetch icons and translations.
_CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear Acquire::IndexTargets;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; "{host}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::IndexTargets::deb::Packages {{
    MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
    flatMetaKey "Packages";
    ShortDescription "Packages";
    Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
    flatDescription "$(RELEASE) Packages";
    Optional "false";
}};
Dir::State "{folder}/state";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Cache::archives "{folder}/cache/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
"""
_OFFER = re.compile(r"^'(?P<url>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$", re.MULTILINE)
_CLOSURE = re.compile(r"^'[^']+' (\S+_\S+_\S+\.deb) \d+", re.MULTILINE)
_IMAGE = r"\blinux-image-([0-9]\S*-{flavour})(?=[\s,]|$)"
_BUILD_WITH = re.compile(r"\b(linux-headers-[0-9]\S*-common|linux-kbuild-[0-9][^\s,]*)")
_FETCH_S = 1800
_UPDATE_S = 600


@dataclass(frozen=True, slots=True)
class Package:
    """One Debian package, as a file.

    Attributes:
        file: its file name, with version and architecture.
        size: in bytes.
        wanted_as: what ``apt-get download`` knows it by, with version and architecture.
    """

    file: str
    size: int
    sha256: str
    wanted_as: str

    def is_in(self, folder: Path) -> bool:
        """Whether the file is there, whole."""
        path = folder / self.file
        return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a board is to be made from.

    Attributes:
        architecture: the board's, as Debian calls it.
        flavour: of the kernel; ``linux-image-FLAVOUR`` always depends on the current one.
        static: packages that are taken without what they depend on.
        dynamic: packages that are taken with all that they depend on.
        suite: of Debian, ``bookworm-backports``, to be preferred where it has something.
        sources: what is to be asked besides the system's sources, as lines of a ``sources.list``.
    """

    architecture: str = "armhf"
    flavour: str = "armmp"
    static: tuple[str, ...] = STATIC
    dynamic: tuple[str, ...] = DYNAMIC
    suite: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Everything that a board is made from.

    Attributes:
        release: the kernel's, as ``uname -r`` prints it.
    """

    release: str
    packages: tuple[Package, ...]


class Apt:
    """An apt of our own.

    Args:
        folder: where it keeps lists, state and cache.
        wanted: what is to be chosen; by default what the virtual board is made from.
    """

    def __init__(self, folder: Path, wanted: Wanted | None = None) -> None:
        self._wanted = wanted or Wanted()
        self._config = folder / "apt.conf"
        self._host = tools.run(["dpkg", "--print-architecture"]).strip()
        for name in ("state", "lists", "cache/archives"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        self._config.write_text(_CONFIG.format(architecture=self._wanted.architecture, host=self._host, folder=folder))
        if self._wanted.sources:
            self._add_sources(folder / "sources.list")

    def choose(self, say: Callable[[str], None]) -> Choice:
        """The current versions of everything, after an update of the lists.

        A list that cannot be had, as while a mirror is being synchronized, is no harm if the rest is there.

        Raises:
            HostError: apt cannot be used, or has not what is needed.
        """
        for _ in range(2):
            words, status = tools.attempt(self._apt("apt-get", "update"), timeout_s=_UPDATE_S)
            try:
                choice = self._choose()
            except HostError as error:
                lacking = error
                if status == 0:
                    break
            else:
                if status != 0:
                    say("apt could not fetch every list; those that it has are enough")
                return choice
        if status != 0:
            raise HostError(f"{lacking}\n  And apt could not fetch every list:\n{tools.quoted(words)}") from lacking
        raise lacking

    def fetch(self, packages: Sequence[Package], folder: Path, live: Callable[[str], None]) -> None:
        """Download what is not yet in ``folder``.

        Args:
            live: shown what has come so far, several times a second.

        Raises:
            HostError: something did not come, or is not what it should be.
        """
        missing = [package for package in packages if not package.is_in(folder)]
        for package in missing:
            (folder / package.file).unlink(missing_ok=True)
        if not missing:
            return
        total = sum(package.size for package in missing)

        def show() -> None:
            sizes = [_size(folder / package.file) for package in missing]
            files = sum(size >= package.size for size, package in zip(sizes, missing, strict=True))
            live(f"{sum(sizes) / 1e6:.0f} of {total / 1e6:.0f} MB, {files} of {len(missing)} files")

        arguments = self._apt("apt-get", "download", *(package.wanted_as for package in missing))
        words, status = tools.attempt(arguments, cwd=folder, timeout_s=_FETCH_S, meanwhile=show)
        wrong = [package.file for package in missing if not package.is_in(folder)]
        if status != 0 or wrong:
            what = ", ".join(wrong) or "Debian packages"
            raise HostError(f"apt cannot fetch {what} (exit status {status})\n{tools.quoted(words)}")

    def _add_sources(self, path: Path) -> None:
        found = re.search(r"'(.*)'", tools.run(["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f"]))
        system = Path(found[1]) if found else None
        known = system.read_text() if system is not None and system.is_file() else ""
        path.write_text("\n".join([known, *self._wanted.sources, ""]))
        with self._config.open("a") as config:
            config.write(f'Dir::Etc::sourcelist "{path}";\n')
            if self._wanted.suite:
                config.write(f'APT::Default-Release "{self._wanted.suite}";\n')

    def _choose(self) -> Choice:
        architecture, newest = self._wanted.architecture, f"linux-image-{self._wanted.flavour}"
        depends = self._depends(f"{newest}:{architecture}")
        image = re.search(_IMAGE.format(flavour=re.escape(self._wanted.flavour)), depends)
        if image is None:
            raise HostError(f"apt knows no {newest} for {architecture}: this is not Debian?\n  {tools.CONTAINER}")
        release = image[1]
        headers = f"linux-headers-{release}"
        board = [f"linux-image-{release}", headers, *self._wanted.static]
        wanted = [f"{name}:{architecture}" for name in board]
        for name in sorted(set(_BUILD_WITH.findall(self._depends(f"{headers}:{architecture}")))):
            wanted += [f"{name}:{self._host}" if name.startswith("linux-kbuild-") else name]
        wanted += self._closure(self._wanted.dynamic)
        words = tools.run(self._apt("apt-get", "download", "--print-uris", *wanted))
        offers = [
            Package(o["file"], int(o["size"]), o["sha256"], _wanted_as(o["file"])) for o in _OFFER.finditer(words)
        ]
        if len(offers) != len(wanted):
            raise HostError(f"apt offers {len(offers)} of {len(wanted)} packages\n{tools.quoted(words)}")
        return Choice(release, tuple(sorted(offers, key=lambda offer: offer.file)))

    def _depends(self, package: str) -> str:
        words, status = tools.attempt(self._apt("apt-cache", "show", "--no-all-versions", package))
        found = re.search(r"^Depends: (.*)$", words, re.MULTILINE)
        return found[1] if found and status == 0 else ""

    def _closure(self, names: Sequence[str]) -> list[str]:
        """These packages and all that they depend on, as if nothing were installed."""
        if not names:
            return []
        words = tools.run(self._apt("apt-get", "install", "--yes", "--print-uris", *names))
        return [_wanted_as(file) for file in _CLOSURE.findall(words)]

    def _apt(self, tool: str, *arguments: str) -> list[str]:
        return [tool, "--config-file", str(self._config), *arguments]


def _wanted_as(file: str) -> str:
    name, version, architecture = urllib.parse.unquote(file.removesuffix(".deb")).split("_")
    return f"{name}={version}" if architecture == "all" else f"{name}:{architecture}={version}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

"""A Debian repository of our own: real packages in a folder, for a real apt, without a network."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RELEASE = "6.1.0-9-armmp"


@dataclass
class Repository:
    """What apt sees of the world.

    Attributes:
        folder: for packages and apt's configuration.
    """

    folder: Path
    more_sources: str = ""

    @property
    def config(self) -> Path:
        """A file for ``APT_CONFIG`` that lets apt see this repository and no other."""
        packages = self.folder / "packages"
        packages.mkdir(exist_ok=True)
        sources = self.folder / "sources.list"
        sources.write_text(f"deb [trusted=yes] file:{packages} ./\n{self.more_sources}")
        config = self.folder / "apt.conf"
        hook = f'APT::Update::Pre-Invoke {{"touch {self.folder}/hook"; }};\n'
        config.write_text(f'{hook}Dir::Etc::sourcelist "{sources}";\nDir::Etc::sourceparts "-";\n')
        return config

    def add(self, name: str, architecture: str = "armhf", depends: str = "", version: str = "1") -> None:
        """Put a package in."""
        root = self.folder / name
        (root / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: n\nDescription: d\n"
        control += f"Depends: {depends}\n" if depends else ""
        (root / "DEBIAN/control").write_text(control)
        packages = self.folder / "packages"
        packages.mkdir(exist_ok=True)
        file = packages / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, file], check=True, capture_output=True)
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with (packages / "Packages").open("a") as index:
            index.write(f"{control}Filename: ./{file.name}\nSize: {len(content)}\nSHA256: {digest}\n\n")

    def add_board(self, host: str) -> None:
        """Put everything in that a virtual board is made from."""
        self.add("linux-image-armmp", depends=f"linux-image-{RELEASE} (= 1)")
        self.add(f"linux-image-{RELEASE}", depends="kmod, initramfs-tools")
        common = RELEASE.replace("armmp", "common")
        self.add(f"linux-headers-{RELEASE}", depends=f"linux-headers-{common} (= 1), linux-kbuild-6.1, gcc")
        self.add(f"linux-headers-{common}", "all")
        self.add("linux-kbuild-6.1", host)
        self.add("busybox-static", version="1:1.35.0-4+b1")
        self.add("bash-static", depends="passwd")
        self.add("kmod", depends="libkmod2 (>= 1)")
        self.add("libkmod2", depends="libc6")
        self.add("dropbear-bin", depends="libc6")
        self.add("libc6")

"""What of a virtual board is ours: the kernel modules' sources, files on the board, and the code that joins them."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Sources"]

HERE = Path(__file__).parent
CODE = ("initramfs.py", "kernel.py", "keys.py", "packages.py", "recipe.py")
"""The code that shapes a build: one made by other code is another build."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Our part of a build.

    Attributes:
        module: folder with a ``Kbuild`` and what it names. Files in its ``firmware/`` go to ``/lib/firmware``.
        rootfs: folder whose files go on the board as they are.
    """

    module: Path = HERE / "module"
    rootfs: Path = HERE / "rootfs"

    @property
    def firmware(self) -> Path:
        return self.module / "firmware"

    def digest(self) -> str:
        """A hash over all of it."""
        digest = hashlib.sha256()
        code = ((name, HERE / name) for name in CODE)
        for name, path in (*self._files(), *code):
            content = path.read_bytes()
            digest.update(f"{name} {len(content)}\n".encode() + content)
        return digest.hexdigest()

    def copied(self, folder: Path) -> Sources:
        """A copy in ``folder``, which does not change while it is used."""
        for name, path in self._files():
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        return Sources(folder / "module", folder / "rootfs")

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Every file and its name, without what a compiler, an editor or Python left there."""
        for what, folder in (("module", self.module), ("rootfs", self.rootfs)):
            for path in sorted(folder.rglob("*")):
                name = path.relative_to(folder).as_posix()
                if path.is_file() and (what == "rootfs" or _goes_into_a_module(name)):
                    yield f"{what}/{name}", path


def _goes_into_a_module(name: str) -> bool:
    path = Path(name)
    if path.parts[0] == "firmware" or path.name in ("Kbuild", "Makefile"):
        return True
    return path.suffix in (".c", ".h", ".S") and not name.endswith(".mod.c")

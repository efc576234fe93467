"""Builds of the virtual board: made once from Debian packages and our sources, kept in the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual import tools
from pytest_shepherd_hil.virtual.packages import Apt, Choice, Package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Build", "Sources", "Workshop", "ensure", "existing", "refresh"]

HERE = Path(__file__).parent
CODE = ("build.py", "initramfs.py", "kernel.py", "keys.py", "packages.py")
"""The code that shapes a build: one made by other code is another build."""
MODULE_SOURCES = (".c", ".h", ".S")
KEPT_S = 24 * 3600
"""A build that was used within this time may be in use."""
KEPT_BUILDS = 2
WAIT_S = 1800

_NOTE = "build.json"
_BUILDING = "building-"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@%=-]+")


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Build:
    """A finished build.

    Attributes:
        folder: it lies in, with everything else.
        release: the kernel's, as ``uname -r`` prints it.
        kernel: for QEMU's ``-kernel``.
        initramfs: for QEMU's ``-initrd``.
        client_key: private key of who logs in as root, as OpenSSH keeps it.
        host_key: the board's public key, as in ``known_hosts``.
        modules: our kernel modules with their debug information, by name.
        snapshot: where a snapshot of the booted board may be kept.
    """

    folder: Path
    release: str
    kernel: Path
    initramfs: Path
    client_key: Path
    host_key: str
    modules: Mapping[str, Path]
    snapshot: Path


def existing() -> Build | None:
    """The newest build of the sources as they are; None if there is none. Needs no tool and no network."""
    return Workshop().existing()


def ensure(say: Callable[[str], None], live: Callable[[str], None] = _silent) -> Build:
    """A build of the sources as they are: one that is there, or a new one.

    Args:
        say: shown a line per step.
        live: shown what passes within a step, to be overwritten by what follows.

    Raises:
        HostError: it cannot be built here; the message says what to install, or what failed.
    """
    return Workshop().ensure(say, live)


def refresh(say: Callable[[str], None], live: Callable[[str], None] = _silent) -> Build:
    """A build of the sources as they are, from the current Debian packages. Parameters and errors as of :func:`ensure`."""
    return Workshop().refresh(say, live)


@dataclass(frozen=True, slots=True)
class Sources:
    """What of ours goes into a build.

    Attributes:
        module: folder with a ``Kbuild`` and what it names, and perhaps ``firmware/``.
        rootfs: folder of files for the board.
    """

    module: Path = HERE / "module"
    rootfs: Path = HERE / "rootfs"

    def module_files(self) -> Iterator[Path]:
        """The kernel modules' sources, without what a compiler has left there."""
        for path in sorted(self.module.rglob("*")):
            if path.is_file() and (path.suffix in MODULE_SOURCES or path.name in ("Kbuild", "Makefile")):
                if not path.name.endswith(".mod.c"):
                    yield path

    def digest(self) -> str:
        """A hash over all of it, and over the code that puts it together."""
        files = [("module", self.module, self.module_files())]
        for folder in (self.module / "firmware", self.rootfs):
            files.append((folder.name, folder, (path for path in sorted(folder.rglob("*")) if path.is_file())))
        files.append(("code", HERE, (HERE / name for name in CODE)))
        digest = hashlib.sha256()
        for what, folder, paths in files:
            for path in paths:
                content = path.read_bytes()
                digest.update(f"{what}/{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
        return digest.hexdigest()


class Workshop:
    """Where builds are made and kept.

    Args:
        folder: of all builds; by default in the user's cache.
    """

    def __init__(self, folder: Path | None = None, sources: Sources | None = None) -> None:
        self._folder = folder or platformdirs.user_cache_path("pytest-shepherd-hil") / "virtual"
        self._sources = sources or Sources()

    def existing(self) -> Build | None:
        """See :func:`existing`."""
        digest = self._sources.digest()
        for note, folder in self._notes():
            build = _read(folder, note)
            if note["sources"] == digest and build is not None:
                with contextlib.suppress(OSError):
                    os.utime(folder / _NOTE)  # in use: see _prune
                return build
        return None

    def ensure(self, say: Callable[[str], None], live: Callable[[str], None] = _silent) -> Build:
        """See :func:`ensure`."""
        build = self.existing()
        if build is not None:
            return build
        with self._locked(say):
            build = self.existing()  # by who held the lock before us
            if build is not None:
                return build
            tools.check()
            choice = self._fetched()
            if choice is None:
                choice = self._chosen(say, live)
            return self._make(choice, say)

    def refresh(self, say: Callable[[str], None], live: Callable[[str], None] = _silent) -> Build:
        """See :func:`refresh`."""
        tools.check()
        with self._locked(say):
            choice = self._chosen(say, live)
            folder = self._folder / self._key(choice)
            for note, made in self._notes():
                build = _read(made, note) if made == folder else None
                if build is not None:
                    say(f"The virtual board is up to date: kernel {build.release}")
                    os.utime(folder / _NOTE)
                    return build
            return self._make(choice, say)

    def _notes(self) -> list[tuple[dict[str, Any], Path]]:
        """What stands in the finished builds' notes, the newest build first."""
        notes = []
        for path in self._folder.glob(f"*/{_NOTE}"):
            if path.parent.name.startswith(_BUILDING):
                continue
            with contextlib.suppress(OSError, ValueError):
                notes.append((json.loads(path.read_bytes()), path.parent))
        return sorted(notes, key=lambda note: float(note[0]["made"]), reverse=True)

    @contextlib.contextmanager
    def _locked(self, say: Callable[[str], None]) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._folder / "lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                say("Another process is building the virtual board: waiting for it")
                lock.acquire(timeout=WAIT_S)
        except Timeout:
            raise HostError(
                f"another process has been building the virtual board for {WAIT_S / 60:.0f} minutes; it holds "
                f"{self._folder / 'lock'}: `fuser {self._folder / 'lock'}` tells which"
            ) from None
        except OSError as error:
            raise _unusable(self._folder, error) from error
        try:
            yield
        except OSError as error:
            raise _unusable(self._folder, error) from error
        finally:
            lock.release()

    def _fetched(self) -> Choice | None:
        """What the last build was made from, if it is all still there: a changed source needs no network."""
        for note, _ in self._notes()[:1]:
            choice = Choice(note["release"], tuple(Package(**package) for package in note["packages"]))
            if all(package.is_in(self._folder / "packages") for package in choice.packages):
                return choice
        return None

    def _chosen(self, say: Callable[[str], None], live: Callable[[str], None]) -> Choice:
        """The current packages, fetched."""
        packages = self._folder / "packages"
        packages.mkdir(exist_ok=True)
        started = time.monotonic()
        say("Asking apt for the current Debian packages")
        apt = Apt(self._folder / "apt")
        choice = apt.choose(say)
        missing = [package for package in choice.packages if not (packages / package.file).exists()]
        if missing:
            size = sum(package.size for package in missing) / 1e6
            say(f"Fetching {len(missing)} Debian packages, {size:.0f} MB ({time.monotonic() - started:.1f} s so far)")
        apt.fetch(choice.packages, packages, live)
        return choice

    def _key(self, choice: Choice) -> str:
        compiler = tools.run([f"{tools.CROSS}gcc", "--version"]).splitlines()[0]
        parts = [self._sources.digest(), compiler, *(package.sha256 for package in choice.packages)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _make(self, choice: Choice, say: Callable[[str], None]) -> Build:
        started = time.monotonic()
        for leftover in self._folder.glob(f"{_BUILDING}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self._folder))
        try:
            # make cannot do with a space or a colon in a path
            elsewhere = None if _PLAIN_PATH.fullmatch(str(folder)) else tempfile.gettempdir()
            with tempfile.TemporaryDirectory(prefix=_BUILDING, dir=elsewhere or folder) as scratch:
                note = self._fill(folder, choice, Path(scratch), say)
            (folder / _NOTE).write_text(json.dumps(note, indent=1))
            final = self._folder / self._key(choice)
            shutil.rmtree(final, ignore_errors=True)
            folder.chmod(0o755)
            folder.rename(final)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        build = _read(final, note)
        assert build is not None
        self._prune()
        say(f"The virtual board is built in {time.monotonic() - started:.0f} s: kernel {build.release}")
        return build

    def _fill(self, folder: Path, choice: Choice, scratch: Path, say: Callable[[str], None]) -> dict[str, Any]:
        """Make everything of a build; returns its note."""
        from pytest_shepherd_hil.virtual import kernel
        from pytest_shepherd_hil.virtual.initramfs import Parts, initramfs
        from pytest_shepherd_hil.virtual.keys import Key

        say(f"Unpacking Debian's kernel {choice.release}")
        unpacked = scratch / "packages"
        unpacked.mkdir()
        for package in choice.packages:
            tools.run(["dpkg-deb", "--extract", str(self._folder / "packages" / package.file), str(unpacked)])
        zimage = (unpacked / "boot" / f"vmlinuz-{choice.release}").read_bytes()
        (folder / "kernel").write_bytes(kernel.boot_image(zimage))

        source = scratch / "module"
        for path in self._sources.module_files():
            copy = source / path.relative_to(self._sources.module)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        say("Building the kernel modules")
        (folder / "modules").mkdir()
        modules = {}
        for name, path in kernel.modules(source, unpacked, choice.release, self._folder / "make.log").items():
            modules[name] = folder / "modules" / path.name
            shutil.copyfile(path, modules[name])

        say(f"Packing the file system with {', '.join(sorted(modules))}")
        client, host = Key.new(), Key.new()
        firmware = self._sources.module / "firmware"
        parts = Parts(unpacked, choice.release, modules, firmware, self._sources.rootfs, client.public, host.dropbear)
        (folder / "initramfs").write_bytes(initramfs(parts, scratch))
        key = os.open(folder / "client_key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(key, "wb") as file:
            file.write(client.private)
        return {
            "made": time.time(),
            "sources": self._sources.digest(),
            "release": choice.release,
            "host_key": host.public,
            "modules": sorted(modules),
            "packages": [asdict(package) for package in choice.packages],
        }

    def _prune(self) -> None:
        """Remove builds that are neither new nor in use, and the packages that went into none that stays."""
        kept: set[str] = set()
        for age, (note, folder) in enumerate(self._notes()):
            with contextlib.suppress(OSError):
                unused_s = time.time() - (folder / _NOTE).stat().st_mtime
                if age >= KEPT_BUILDS and unused_s > KEPT_S:
                    shutil.rmtree(folder, ignore_errors=True)
                    continue
            kept |= {package["file"] for package in note["packages"]}
        for path in (self._folder / "packages").iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)


def _read(folder: Path, note: Mapping[str, Any]) -> Build | None:
    """A finished build, or None if something of it has been taken away."""
    modules = {name: folder / "modules" / f"{name}.ko" for name in note["modules"]}
    build = Build(
        folder=folder,
        release=note["release"],
        kernel=folder / "kernel",
        initramfs=folder / "initramfs",
        client_key=folder / "client_key",
        host_key=note["host_key"],
        modules=modules,
        snapshot=folder / "snapshot",
    )
    files = [build.kernel, build.initramfs, build.client_key, *modules.values()]
    return build if all(file.is_file() for file in files) else None


def _unusable(folder: Path, error: OSError) -> HostError:
    return HostError(
        f"cannot keep a virtual board in {folder}: {error.strerror or error}\n  Set XDG_CACHE_HOME to a folder that can be used."
    )

"""Builds of the virtual board: made once from Debian packages and our sources, kept in the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from filelock import FileLock, Timeout

from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.virtual import tools
from pytest_shepherd_hil.virtual.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_shepherd_hil.virtual.packages import Choice

__all__ = ["Build", "Workshop", "ensure", "existing", "refresh"]

KEPT_S = 24 * 3600
"""A build that was used within this time may be in use."""
KEPT_BUILDS = 2
WAIT_S = 1800
"""How long another process may take to build."""

_NOTE = "build.json"
_KEYS = {"made", "sources", "release", "host_key", "modules", "packages"}
_BUILDING = "building-"


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


def _cache() -> Path:
    try:
        return platformdirs.user_cache_path("pytest-shepherd-hil") / "virtual"
    except RuntimeError as error:  # neither HOME nor an entry in the password file
        raise HostError(f"no folder for virtual boards: {error}\n  Set XDG_CACHE_HOME to one.") from error


def existing() -> Build | None:
    """The newest build of the sources as they are; None if there is none. Needs no tool and no network."""
    return Workshop().existing()


def ensure(say: Callable[[str], None], live: Callable[[str], None] = _silent) -> Build:
    """A build of the sources as they are: one that is there, or a new one.

    Args:
        say: shown a line per step.
        live: shown what passes within a step, each overwriting the one before.

    Raises:
        HostError: it cannot be built here; the message says what to install, or what failed.
    """
    return Workshop().ensure(say, live)


def refresh(say: Callable[[str], None], live: Callable[[str], None] = _silent) -> Build:
    """A build of the sources as they are, from the current Debian packages; otherwise as :func:`ensure`."""
    return Workshop().refresh(say, live)


class Workshop:
    """Where builds are made and kept.

    Args:
        folder: of all builds; by default in the user's cache.
        sources: what is built; by default what comes with this package.
    """

    def __init__(self, folder: Path | None = None, sources: Sources | None = None) -> None:
        self._folder = folder or _cache()
        self._packages = self._folder / "packages"
        self._sources = sources or Sources()

    def existing(self) -> Build | None:
        """See :func:`existing`."""
        digest = self._sources.digest()
        for note, folder in self._notes():
            if note["sources"] == digest:
                build = _read(folder, note)
                if build is not None:
                    _mark_used(folder)
                    return build
        return None

    def ensure(self, say: Callable[[str], None], live: Callable[[str], None] = _silent) -> Build:
        """See :func:`ensure`."""
        build = self.existing()
        if build is not None:
            return build
        tools.check()
        with self._locked(say):
            # perhaps made by who held the lock before
            return self.existing() or self._make(self._fetched() or self._chosen(say, live), say)

    def refresh(self, say: Callable[[str], None], live: Callable[[str], None] = _silent) -> Build:
        """See :func:`refresh`."""
        tools.check()
        with self._locked(say):
            choice = self._chosen(say, live)
            key = _key(choice, self._sources.digest())
            for note, folder in self._notes():
                build = _read(folder, note) if folder.name == key else None
                if build is not None:
                    say("Nothing has changed since it was built")
                    _mark_used(folder)
                    return build
            return self._make(choice, say)

    def _notes(self) -> list[tuple[dict[str, Any], Path]]:
        """The finished builds, the newest first: what was noted of each, and its folder."""
        notes = []
        for path in self._folder.glob(f"*/{_NOTE}"):
            if not path.parent.name.startswith(_BUILDING):
                with contextlib.suppress(OSError, ValueError):
                    note = json.loads(path.read_bytes())
                    if isinstance(note, dict) and note.keys() >= _KEYS:
                        notes.append((note, path.parent))
        return sorted(notes, key=lambda note: float(note[0]["made"]), reverse=True)

    @contextlib.contextmanager
    def _locked(self, say: Callable[[str], None]) -> Iterator[None]:
        path = self._folder / "lock"
        lock = FileLock(path)
        try:
            self._packages.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                say("Another process is building the virtual board; waiting for it")
                lock.acquire(timeout=WAIT_S, poll_interval=0.2)
            yield
        except Timeout:
            raise HostError(
                f"another process has been building the virtual board for {WAIT_S / 60:.0f} minutes\n"
                f"  `fuser -v {path}` shows which; end it and try again."
            ) from None
        except OSError as error:
            raise HostError(
                f"the virtual board cannot be kept in {self._folder}: {error.strerror or error}"
                f"{f': {error.filename}' if error.filename else ''}\n"
                "  Make room there, or set XDG_CACHE_HOME to a folder that can be written to."
            ) from error
        finally:
            lock.release()

    def _fetched(self) -> Choice | None:
        """What the last build was made from, if it is all still there: changed sources need no network."""
        from pytest_shepherd_hil.virtual.packages import Choice, Package

        for note, _ in self._notes()[:1]:
            choice = Choice(note["release"], tuple(Package(**package) for package in note["packages"]))
            if all(package.is_in(self._packages) for package in choice.packages):
                return choice
        return None

    def _chosen(self, say: Callable[[str], None], live: Callable[[str], None]) -> Choice:
        """The current packages, fetched."""
        from pytest_shepherd_hil.virtual.packages import Apt

        say("Asking apt for the current Debian packages")
        apt = Apt(self._folder / "apt")
        choice = apt.choose(say)
        missing = [package for package in choice.packages if not package.is_in(self._packages)]
        if missing:
            say(f"Fetching {len(missing)} Debian packages, {sum(package.size for package in missing) / 1e6:.0f} MB")
            apt.fetch(missing, self._packages, live)
        return choice

    def _make(self, choice: Choice, say: Callable[[str], None]) -> Build:
        from pytest_shepherd_hil.virtual.recipe import make

        started = time.monotonic()
        for leftover in self._folder.glob(f"{_BUILDING}*"):  # of builds that were killed
            shutil.rmtree(leftover, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_BUILDING, dir=self._folder))
        try:
            note = make(folder, choice, self._packages, self._sources, self._folder / "make.log", say)
            (folder / _NOTE).write_text(json.dumps(note, indent=1))
            final = self._folder / _key(choice, note["sources"])
            shutil.rmtree(final, ignore_errors=True)
            folder.rename(final)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        build = _read(final, note)
        assert build is not None
        self._prune()
        say(f"Built in {time.monotonic() - started:.0f} s")
        return build

    def _prune(self) -> None:
        """Remove builds that are neither new nor in use, and the packages that went into none that stays."""
        kept: set[str] = set()
        for newer, (note, folder) in enumerate(self._notes()):
            if newer >= KEPT_BUILDS and time.time() - (folder / _NOTE).stat().st_mtime > KEPT_S:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                kept |= {package["file"] for package in note["packages"]}
        for path in self._packages.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)


def _key(choice: Choice, sources: str) -> str:
    """What tells builds apart: all that went in, and the compiler."""
    compiler = tools.run([f"{tools.CROSS}gcc", "--version"]).splitlines()[0]
    parts = [sources, compiler, *(package.sha256 for package in choice.packages)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


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


def _mark_used(folder: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(folder / _NOTE)

"""The board's files. They are in memory, and nothing of the host can be reached through them."""

from __future__ import annotations

import errno
import fnmatch
import posixpath
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Entry", "Tree"]

FILE_MAX = 1 << 20
FILES_MAX = 1000


@dataclass(slots=True)
class Entry:
    """A file.

    Attributes:
        read: gives its content.
        write: takes one write; None if nobody can write it.
        stored: its bytes, where it is an ordinary file.
        everyone: whether users other than root may write it.
        secret: whether only root may read it.
    """

    read: Callable[[], bytes]
    write: Callable[[bytes], None] | None = None
    stored: bytearray | None = None
    everyone: bool = False
    secret: bool = False


class Tree:
    """A small file system; all paths are absolute. Errors are :class:`OSError` with the errno that Linux has there."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._files: dict[str, Entry] = {}
        self._folders = {"/", "/tmp", "/root", "/home", "/home/debian", "/etc", "/dev", "/proc", "/sys", "/run", "/usr"}  # noqa: S108
        self._open_folders = {"/tmp", "/home/debian"}  # noqa: S108

    def add(
        self,
        path: str,
        read: Callable[[], str],
        write: Callable[[bytes], None] | None = None,
        *,
        everyone: bool = False,
        secret: bool = False,
    ) -> None:
        """Make a file whose content is ``read()``, with its folders."""
        with self._lock:
            self._files[path] = Entry(lambda: read().encode(), write, None, everyone, secret)
            folder = posixpath.dirname(path)
            while folder not in self._folders:
                self._folders.add(folder)
                folder = posixpath.dirname(folder)

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all below it, if it is there."""
        with self._lock:
            below = path + "/"
            for name in [name for name in self._files if name == path or name.startswith(below)]:
                del self._files[name]
            self._folders -= {name for name in self._folders if name == path or name.startswith(below)}

    def is_file(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._files

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder."""
        return path in self._folders

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted."""
        with self._lock:
            if folder in self._files:
                raise OSError(errno.ENOTDIR, folder)
            if folder not in self._folders:
                raise OSError(errno.ENOENT, folder)
            below = folder.rstrip("/") + "/"
            paths = (*self._files, *self._folders)
            inside = {path[len(below) :].split("/")[0] for path in paths if path.startswith(below)}
            return sorted(inside - {""})

    def match(self, pattern: str) -> list[str]:
        """Paths that a glob pattern fits, sorted; ``*`` stays within one folder."""
        parts = pattern.split("/")
        with self._lock:
            return sorted(
                path
                for path in (*self._files, *self._folders)
                if path.count("/") == len(parts) - 1 and all(map(fnmatch.fnmatchcase, path.split("/"), parts))
            )

    def read(self, path: str, *, root: bool) -> bytes:
        """A file's content."""
        if path in self._folders:
            raise OSError(errno.EISDIR, path)
        entry = self._entry(path)
        if entry.secret and not root:
            raise OSError(errno.EACCES, path)
        return entry.read()

    def open_to_write(self, path: str, *, root: bool, append: bool) -> Callable[[bytes], None]:
        """Open a file, or make it; the result takes one write a call."""
        with self._lock:
            if path in self._folders:
                raise OSError(errno.EISDIR, path)
            if path not in self._files:
                self._create(path, root=root)
            entry = self._files[path]
            if (entry.write is None and entry.stored is None) or not (root or entry.everyone):
                raise OSError(errno.EACCES, path)
            if entry.stored is None:
                assert entry.write is not None
                return entry.write
            stored = entry.stored
            if not append:
                stored.clear()

            def put(data: bytes) -> None:
                if len(stored) + len(data) > FILE_MAX:
                    raise OSError(errno.ENOSPC, path)
                stored.extend(data)

            return put

    def delete(self, path: str, *, root: bool) -> None:
        """Delete a file, as ``rm`` does."""
        with self._lock:
            if path in self._folders:
                raise OSError(errno.EISDIR, path)
            entry = self._entry(path)
            if entry.stored is None:
                raise OSError(errno.EPERM, path)
            if not (root or entry.everyone):
                raise OSError(errno.EACCES, path)
            del self._files[path]

    def _create(self, path: str, *, root: bool) -> None:
        folder = posixpath.dirname(path)
        if folder not in self._folders:
            raise OSError(errno.ENOENT, path)
        special = folder == "/" or folder.startswith(("/proc", "/sys", "/dev"))
        if special or not (root or folder in self._open_folders):
            raise OSError(errno.EACCES, path)
        if len(self._files) >= FILES_MAX:
            raise OSError(errno.ENOSPC, path)
        stored = bytearray()
        self._files[path] = Entry(lambda: bytes(stored), None, stored, folder in self._open_folders)

    def _entry(self, path: str) -> Entry:
        entry = self._files.get(path)
        if entry is None:
            raise OSError(errno.ENOENT, path)
        return entry

"""Source lines, fields and disassembly for the crashes of a board: read once there is a crash, each crash once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_shepherd_hil.boards import BoardConfig
    from pytest_shepherd_hil.kernel.incident import Crash, Incident
    from pytest_shepherd_hil.kernel.symbols import CrashSource, Symbols

__all__ = ["CrashSources", "symbol_files"]

MAX_KEPT = 64


def symbol_files(board: BoardConfig) -> tuple[Path, ...]:
    """The files with symbols of a board: those that ``boards.toml`` names, or of a virtual board its own modules."""
    if board.module is not None and board.module.symbols:
        return board.module.symbols
    if board.virtual is not None:
        from pytest_shepherd_hil.virtual.build import existing

        build = existing()
        return tuple(build.modules.values()) if build is not None else ()
    return ()


class CrashSources:
    """What symbols say of crashes.

    Args:
        files: names the files with symbols; asked at the first crash. A file that has changed is read again.
    """

    def __init__(self, files: Callable[[], Sequence[Path]] = tuple) -> None:
        self._files = files
        self._paths: Sequence[Path] | None = None
        self._stamps: list[tuple[Path, int, int]] | None = None
        self._symbols: Symbols | None = None
        self._known: dict[Crash, CrashSource] = {}

    def of(self, incident: Incident) -> CrashSource | None:
        """What symbols say of an incident; None where it has no crash. Takes seconds at most, and never raises."""
        crash = incident.crash
        if crash is None or not (crash.pc or crash.frames or crash.code):
            return None
        symbols = self._current()
        source = self._known.get(crash)
        if source is None:
            source = symbols.explain(crash)
            if len(self._known) < MAX_KEPT:
                self._known[crash] = source
        return source

    def _current(self) -> Symbols:
        from pytest_shepherd_hil.kernel.symbols import Symbols

        if self._paths is None:
            self._paths = self._files()
        stamps = [_stamp(file) for file in self._paths]
        if self._symbols is None or stamps != self._stamps:
            self._symbols, self._stamps = Symbols(self._paths), stamps
            self._known.clear()
        return self._symbols


def _stamp(file: Path) -> tuple[Path, int, int]:
    try:
        status = file.stat()
    except OSError:
        return file, 0, 0
    return file, status.st_mtime_ns, status.st_size

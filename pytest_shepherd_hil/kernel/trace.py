"""One call trace of a report: frames, and lines that may be one, which are read when they are asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.incident import Frame
from pytest_shepherd_hil.kernel.shapes import ADDRESS, FUNCTION

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.rows import Row

__all__ = ["PLACE_GROUPS", "SYM", "Trace"]

_MAX_FRAMES = 100
_MAX_INNERMOST = 60

# A place, its parts in groups that are called after the place.
_OFFSET = r"\+0x(?P<{0}_off>[0-9a-f]{{1,8}})/0x(?P<{0}_size>[0-9a-f]{{1,8}})"
_MODULE = r"(?:(?:\(\))? \[(?P<{0}_mod>[\w-]{{1,64}})(?: [0-9a-f]{{1,64}})?\])?"
PLACE_GROUPS = rf"(?P<{{0}}>{FUNCTION.replace('{', '{{').replace('}', '}}')})(?:{_OFFSET})?{_MODULE}"
SYM = PLACE_GROUPS.format("sym")
_FRAME = re.compile(rf"[ \t]{{0,40}}(?:<[A-Z#]{{2,8}}>)? {{0,2}}(?:{ADDRESS} ?){{0,2}}(?: ?<[A-Z]{{2,4}}> )?{SYM}")

_Pushed = Frame | tuple[str, str | None]


class Trace:
    """One call trace: what stands above it, and its frames, innermost first."""

    def __init__(self, label: str) -> None:
        self.label = label
        self._pushed: list[_Pushed] = []
        self._frames: list[Frame] | None = None

    def __len__(self) -> int:
        return len(self._pushed)

    def push(self, frame: _Pushed) -> None:
        """Add a frame, or its line and context; of a deep trace the innermost and the outermost frames are kept."""
        if len(self._pushed) >= _MAX_FRAMES:
            del self._pushed[_MAX_INNERMOST]
        self._pushed.append(frame)
        self._frames = None

    def push_rows(self, rows: list[Row], context: str | None) -> None:
        """Add ordinary frames."""
        self._pushed += [
            Frame(function, int(offset, 16), int(size, 16), module or None, None, context)
            for _, _, function, offset, size, module, _, _ in rows
        ]
        if (more := len(self._pushed) - _MAX_FRAMES) > 0:
            del self._pushed[_MAX_INNERMOST : _MAX_INNERMOST + more]
        self._frames = None

    @property
    def shows_any(self) -> bool:
        """Whether there are frames, found out without reading them all."""
        return bool(self._frames) or any(
            isinstance(item, Frame) or _read_frame(*item) is not None for item in self._pushed
        )

    @property
    def frames(self) -> list[Frame]:
        if self._frames is None:
            frames = (item if isinstance(item, Frame) else _read_frame(*item) for item in self._pushed)
            self._frames = [frame for frame in frames if frame is not None]
        return self._frames

    @property
    def outermost(self) -> str | None:
        """The function that was pushed last."""
        if not self._pushed:
            return None
        last = self._pushed[-1]
        frame = last if isinstance(last, Frame) else _read_frame(*last)
        return frame.function if frame else None

    @property
    def shows_a_switch(self) -> bool:
        """It is of a task that was not running, or of which nothing more is known than that it runs."""
        return self.frames[0].function.startswith(("__switch_to", "__schedule"))

    def has(self, functions: frozenset[str]) -> bool:
        return any(frame.function in functions for frame in self.frames)


def _read_frame(message: str, context: str | None) -> Frame | None:
    match = _FRAME.match(message)
    if match is None:
        return None
    function, offset, size, module = match.groups()
    return Frame(function, int(offset, 16) if offset else None, int(size, 16) if size else None, module, None, context)

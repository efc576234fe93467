"""Console bytes as they come, made into text that a terminal shows and does not obey."""

from __future__ import annotations

import codecs
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from pytest_shepherd_hil.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LiveText", "stamp"]

_HELD_BACK = re.compile(r"(?:\r+|(?<!\x08 )\x08(?: |\x1b\[?)?|\x1b(?:\[[0-9;?]{0,32}[ -/]{0,4})?)\Z")
_LINE_END = re.compile(r"\r*\n|\r+")
_ERASE = re.compile(r"\x08(?: \x08|\x1b\[K)")


class LiveText:
    """Turns chunks of console bytes into what is to be printed.

    As :func:`~pytest_shepherd_hil.text.printable` has it, but for lines that have not ended yet, and for sequences that
    two chunks share. A CR alone ends a line, so that nothing that was shown is written over; only the erasing of a
    character passes, as a tty or a shell answers to the backspace key, and never beyond the line.

    Args:
        stamps: begin each line with this host's time.
        clock: gives that time.
    """

    def __init__(self, *, stamps: bool = False, clock: Callable[[], datetime] = datetime.now) -> None:
        self._stamps = stamps
        self._clock = clock
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._column = 0

    @property
    def in_line(self) -> bool:
        """Whether a line has begun that has not ended."""
        return self._column > 0

    def feed(self, chunk: bytes) -> str:
        """The text of some bytes; what only the next bytes decide is held back."""
        text = self._held + self._decoder.decode(chunk)
        match = _HELD_BACK.search(text)
        self._held = match[0] if match is not None else ""
        return self._shown(text[: match.start()] if match is not None else text)

    def rest(self) -> str:
        """The text of what is held back: nothing came to decide it."""
        text, self._held = self._held, ""
        if not text.strip("\r"):  # the LF is still to come
            self._held = text
            return ""
        return self._shown(text)

    def break_line(self) -> str:
        """A line end, if a line has begun: something that the board did not say follows."""
        ended = "\n" if self.in_line else ""
        self._column = 0
        return ended

    def _shown(self, text: str) -> str:
        parts = []
        for index, line in enumerate(_LINE_END.split(text)):
            if index:
                parts.append(self._stamp() + "\n" if self._stamps and not self._column else "\n")
                self._column = 0
            parts += self._piece(line)
        return "".join(parts)

    def _piece(self, text: str) -> list[str]:
        parts = []
        for index, piece in enumerate(_ERASE.split(text)):
            if index and self._column:
                parts.append("\b \b")
                self._column -= 1
            shown = printable(piece, sys.maxsize)
            if shown:
                if self._stamps and not self._column:
                    parts.append(self._stamp())
                parts.append(shown)
                self._column += len(shown)
        return parts

    def _stamp(self) -> str:
        return stamp(self._clock())


def stamp(time: datetime) -> str:
    """How a line begins that has a time."""
    return f"[{time.strftime('%H:%M:%S.%f')[:-3]}] "

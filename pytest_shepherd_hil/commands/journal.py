"""What ``journalctl -o short-monotonic`` puts between the time and the kernel's words: the host, and who spoke."""

from __future__ import annotations

import re

__all__ = ["WithoutHost"]

_HEADER = re.compile(rb"^(\[ {0,8}\d{1,9}\.\d{6}\]) (?:[\w.-]{1,64} )?kernel: ", re.MULTILINE)
_MAX_HEADER = 128
_SPEAKER = b"kernel: "


class WithoutHost:
    """Takes ``host kernel: `` out of ``[  942.541300] host kernel: Internal error``, in bytes that come in chunks."""

    def __init__(self) -> None:
        self._rest = b""
        self._begins_line = True

    def feed(self, data: bytes) -> bytes:
        """The same bytes without it; the beginning of a line is kept until it is seen what it is."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        begun = data[end:] if len(data) - end < _MAX_HEADER and (end or self._begins_line) else b""
        self._rest = begun
        return self._pass(data[: len(data) - len(begun)])

    def finish(self) -> bytes:
        """What has been kept."""
        rest, self._rest = self._rest, b""
        return self._pass(rest)

    def _pass(self, data: bytes) -> bytes:
        start = 0 if self._begins_line else data.find(b"\n") + 1 or len(data)
        if data:
            self._begins_line = data.endswith(b"\n")
        if data.find(_SPEAKER, start) < 0:
            return data
        return data[:start] + _HEADER.sub(rb"\1 ", data[start:])

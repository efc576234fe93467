"""From console bytes to lines: line ends, prefixes and kernel times, whatever the chunking and however damaged."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = [
    "MAX_LINE_BYTES",
    "Line",
    "LineSplitter",
    "match_prefix",
    "may_embed",
    "parse_line",
    "split_embedded",
    "undecorated",
]

MAX_LINE_BYTES = 64 * 1024
"""A longer line is handed out in pieces of this size."""

_QUOTE_CHARS = 512
"""How far before a kernel time it matters what somebody typed."""

_TIME = r"(?P<time>\d{1,9}\.\d{6})"
# Android's kernels show the cpu alone, or beside the thread.
_CALLER = r"(?:\[ {0,8}(?P<caller>[TC] {0,8}\d{1,8})(?:@C?\d{1,2})?\]|\[ {0,3}\d{1,2}\](?= ))?"
# The opening bracket may have been lost. printk writes six decimals; people who shorten a log write fewer.
_PREFIX = re.compile(
    r"(?:<(?P<level>\d{1,3})>)?\[? {0,8}(?P<time>\d{1,9}\.\d{1,9})"
    # What vendors put into the brackets: the cpu, or the time of day.
    r"(?:@\d{1,2}| / \d\d-\d\d [\d:.]{8,15})?\]" + _CALLER + " ?"
)
match_prefix = _PREFIX.match
"""The prefix of a clean line, as the console mostly shows it: groups ``level``, ``time`` and ``caller``; else None."""
_LEVEL = re.compile(r"<(?P<level>\d{1,3})>")
# One flipped character inside the brackets: the time is lost, the message is not.
_DAMAGED = re.compile(r"\[(?=[^\]]{12,14}\])[ \d.]{0,14}[^\] \d.][ \d.]{0,14}\]" + _CALLER + " ?")
_EMBEDDED = re.compile(r"(?:<(?P<level>\d{1,3})>)?\[ {0,8}" + _TIME + r"\]" + _CALLER + " ?")
_LOGIN = re.compile(r".{0,200}login: \[ {0,8}(?P<time>\d{1,9}\.\d{1,9})\]" + _CALLER + " ?")
_DAY = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
_ISO = r"\d{4}-\d\d-\d\d[T ][\d:.,+Z-]{8,32}"
# journalctl's forms with a host, syslog's old and new (RFC 5424), metalog's.
_SYSLOG = re.compile(
    rf"(?:<\d{{1,3}}>)?(?:{_DAY}|(?:[A-Z][a-z]{{2}} )?{_ISO}|\d{{9,10}}\.\d{{6}})"
    r"(?:(?: \S{1,255}){0,2} (?:kernel|klogd): | \[kernel\] )"
    rf"|<\d{{1,3}}>1 {_ISO} \S{{1,255}} kernel - - (?:-|\[[^\]]{{1,200}}\]) "
)
# ``journalctl -o short-monotonic``, with the host or (``--no-hostname``) without: behind the kernel's time.
_HOST = re.compile(r"(?:[A-Za-z0-9][\w.-]{0,63} )?kernel: ")
# What other programs put before the kernel's words: loggers of a serial line and LAVA the time of the host, dmesg its
# own forms of the time (-T, -H, -d), level (-x) and record (-J), Android's logcat.
_STAMP = re.compile(
    r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\d.,:+Z-]{0,20}\]? |\[\d\d:\d\d:\d\d[\d.,]{0,10}\] |"
    r"\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})? \d{4}\] |\[ {0,6}\+\d{1,6}\.\d{6}\] |"
    r"\[[A-Z][a-z]{2}[ \d]\d \d\d:\d\d\] |\[\d{1,7}\.\d{6} \d{1,7}\.\d{6}\] |"
    r"\[ {0,8}\d{1,9}\.\d{6} <[ \d.]{1,16}>\] |kern {0,4}:\w{3,6} {0,3}: (?=\[)|"
    rf"{_DAY} (?!\S{{1,255}} [^\s:\[]{{1,64}}\[\d{{1,10}}\]: )|\d\d:\d\d:\d\d(?:[.,]\d{{1,9}})? {{1,2}}|"
    r" {0,16}\"msg\": {1,4}\"|"
    r"(?:\d{4}-)?\d\d-\d\d \d\d:\d\d:\d\d\.\d{3,6} {1,6}(?:root {1,6})?0 {1,6}0 [VDIWEF] (?:(?i:kernel))? {0,10}: |"
    r"- \{\"dt\": \"[^\"]{10,40}\", \"lvl\": \"target\", \"msg\": \""
)
# ``journalctl -o json``, of the kernel's messages.
_JOURNAL = re.compile(r'"MESSAGE":"((?:[^"\\]|\\.){0,2000})"')
_VENDOR_FIRSTS = frozenset(" [(-.<c")
_STAMPED = frozenset("[-k0123456789 JFMASOND")
_PROSE = re.compile(r"(?:WARNING|INFO|BUG):(?: \w{1,16})?$")
"""What loggers of programs write after the time, too."""
# What vendors put after the kernel's time: cpu, pid and name of the process.
_VENDOR = re.compile(
    r" ?\[\d{1,2}: {0,16}[^\]]{1,32}: {0,8}\d{1,8}\] ?| ?(?:<\d>)?[.-]?\(\d{1,2}\)\[\d{1,8}:[^\]]{1,32}\] ?|"
    r"\(CPU:\d{1,2}-pid:\d{1,8}:[^)]{1,32}\) |c\d{1,2} (?: {0,6}\d{1,8} )?"
)
# The same, a host, and a cpu beside the caller, in a text of many lines.
_DECORATED = re.compile(
    r"^(\[ {0,8}\d{1,9}\.\d{6})(?:[^\]\n]{0,40}\](?:\[[^\]\n]{1,16}\](?= ))? ?"
    rf"(?:{_VENDOR.pattern}|{_HOST.pattern})"
    r"|\]\[ {0,8}(?:[TC] {0,8}\d{1,8}@C?)?\d{1,2}\] ?)",
    re.MULTILINE,
)
# A record of /dev/kmsg: priority, sequence number, microseconds since boot, flags.
_KMSG = re.compile(r"(?P<priority>\d{1,4}),\d{1,20},(?P<us>\d{1,18}),[^;\s]{1,64};")

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ESCAPE = re.compile(
    r"\x1b\[[0-?]{0,32}[ -/]{0,4}[@-~]"
    r"|\x1b\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)"
    r"|\x1b[ -/]{0,2}[0-~]"
)
# What stands before a bracket when a person or a tool quotes the kernel: that line is not the kernel's.
_QUOTED = re.compile(r"""["'`]|\b(?:echo|printf|logger|grep|sed|awk|kmsg)\b|^\S{0,200}/\S{0,200}:""")


class Line(NamedTuple):
    """One line of a console. A tuple: it is made for every line, and nothing frozen is made faster."""

    number: int
    """Counts from 0 in the console's log; the pieces of a line that is too long for one have the same."""
    text: str
    """As it came, decoded as UTF-8; undecodable bytes are U+FFFD."""
    message: str
    """Without prefix, CR, NUL, terminal escapes and trailing blanks."""
    kernel_time_s: float | None = None
    """Seconds since boot, where printed."""
    caller: str | None = None
    """``T123`` for a thread, ``C1`` for a cpu in interrupt, where printed."""
    level: int | None = None
    """0 (emergency) to 7 (debug), where printed."""


def parse_line(raw: bytes, number: int) -> Line:
    """Take a line (without its end) apart.

    Understands ``[  942.541300] ``, the same with a caller id or a level, behind a prompt or garbage, syslog and
    journald headers of the kernel, records of ``/dev/kmsg``, and lines without any prefix.
    """
    text = raw.decode("utf-8", "replace")
    clean = text.isprintable() or text.replace("\t", " ").isprintable()
    body = text if clean else _CONTROL.sub("", _ESCAPE.sub("", text))
    if match := _PREFIX.match(body):
        level, time, caller = match.groups()
        start = match.end()
        if body[start : start + 1] in _VENDOR_FIRSTS and (vendor := _VENDOR.match(body, start)):
            start = vendor.end()
        elif body.find(" kernel: ", start - 1, start + 72) >= 0 and (host := _HOST.match(body, start)):
            start = host.end()
        return Line(
            number,
            text,
            body[start:].rstrip(),
            float(time),
            caller.replace(" ", "") if caller else None,
            int(level) & 7 if level else None,
        )
    if ("kernel" in body or "klogd: " in body) and (match := _SYSLOG.match(body)):
        body = body[match.end() :]
        if match := _PREFIX.match(body):
            return _line(number, text, body, match)
        if match := _LEVEL.match(body):
            return Line(number, text, body[match.end() :].rstrip(), None, None, int(match["level"]) & 7)
        return Line(number, text, body.rstrip())
    if ";" in body and (match := _KMSG.match(body)):
        message, time_s = body[match.end() :].rstrip(), int(match["us"]) / 1e6
        return Line(number, text, message, time_s, None, int(match["priority"]) & 7)
    if "[" in body:
        match = (_EMBEDDED.search(body) if may_embed(body) else None) or _LOGIN.match(body)
        if match and not _is_quoted(body, match.start()):
            return _line(number, text, body, match)
        if match := _DAMAGED.match(body):
            return Line(number, text, body[match.end() :].rstrip(), None, match["caller"])
    if body[:1] in _STAMPED and (match := _STAMP.match(body)) and not _PROSE.match(body, match.end()):
        message = body[match.end() :].removesuffix('"}')
        if match[0].endswith('"'):
            message = message.removesuffix('"')
        return parse_line(message.encode(), number)._replace(text=text)
    if body[:1] == "{" and '"_TRANSPORT":"kernel"' in body and (match := _JOURNAL.search(body)):
        message = match[1].replace('\\"', '"').replace("\\t", "\t")
        return Line(number, text, message.rstrip())
    if match := _LEVEL.match(body):
        return Line(number, text, body[match.end() :].rstrip(), None, None, int(match["level"]) & 7)
    return Line(number, text, body.lstrip("\ufffd").rstrip())


def _line(number: int, text: str, body: str, match: re.Match[str]) -> Line:
    groups = match.groupdict()
    caller, level = groups["caller"], groups.get("level")
    return Line(
        number,
        text,
        body[match.end() :].rstrip(),
        float(groups["time"]),
        caller.replace(" ", "") if caller else None,
        int(level) & 7 if level else None,
    )


def _is_quoted(text: str, at: int) -> bool:
    """Whether what stands before a kernel time shows that a person or a tool quotes it; noise does not."""
    before = text[max(at - _QUOTE_CHARS, 0) : at]
    return "\ufffd" not in before and _QUOTED.search(before) is not None


def may_embed(message: str) -> bool:
    """False where no kernel time stands within a message; made to be fast."""
    at = message.find("]", 9)
    while at >= 0:
        if message[at - 7] == ".":
            return True
        at = message.find("]", at + 1)
    return False


def split_embedded(line: Line) -> tuple[Line, ...]:
    """The messages in a line that lost a line end, or in which one writer cut another short; mostly the line itself."""
    message = line.message
    if not may_embed(message):
        return (line,)
    match = _EMBEDDED.search(message)
    if match is None or _is_quoted(message, match.start()):
        return (line,)
    if not match.start():  # cut short before its first word, or another program's time stood before the kernel's
        return (_line(line.number, line.text, message, match),)
    first = line._replace(message=message[: match.start()].rstrip())
    return (first, _line(line.number, line.text, message, match))


def split_prefix(text: str) -> tuple[float | None, str]:
    """Kernel time and message of a clean line that begins with its time; else None and nothing.

    ``[  942.541300] `` as printk writes it is read without a pattern: this is for the many lines of a crash.
    """
    if text[13:15] == "] " and text[6] == "." and text[0] == "[" and text[7:13].isdecimal():
        seconds = text[1:6].lstrip(" ")
        if seconds.isdecimal():
            start = 15
            if text[15:16] in _VENDOR_FIRSTS and (vendor := _VENDOR.match(text, 15)):
                start = vendor.end()
            return float(text[1:13]), text[start:].rstrip()
    match = _PREFIX.match(text)
    if match is None:
        return None, ""
    start = match.end()
    if text[start : start + 1] in _VENDOR_FIRSTS and (vendor := _VENDOR.match(text, start)):
        start = vendor.end()
    return float(match[2]), text[start:].rstrip()


def undecorated(text: str) -> str:
    """Many lines without what vendors and journalctl put between the kernel's time and its words.

    It is enough to look at the first line: one kernel says it in all.
    """
    if " kernel: " in text or _DECORATED.match(text):
        return _DECORATED.sub(r"\1] ", text)
    return text


class LineSplitter:
    """Cuts a stream of bytes into lines at LF; CRs before an LF belong to the line's end.

    The lines are the same however the stream is cut into chunks. Memory is bounded by ``max_bytes``.
    """

    def __init__(self, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_bytes
        self._pending = bytearray()
        self._start = 0
        self.number = 0
        """Of the line that comes next, or of which pieces have come: how many lines have ended."""

    @property
    def pending(self) -> bytes:
        """What has come since the last line end."""
        return bytes(self._pending)

    @property
    def start(self) -> int:
        """The stream's offset of the first byte since the last line end."""
        return self._start

    def take_whole(self, chunk: bytes) -> bytes | None:
        """The lines that ``chunk`` completes, with their ends, in one piece.

        None where one of them may be too long: then nothing has been taken, and :meth:`feed_at` is to be called.
        """
        pending = self._pending
        if len(pending) + len(chunk) > self._max:
            return None
        end = chunk.rfind(b"\n") + 1
        if not end:
            pending += chunk
            return b""
        lines = bytes(pending) + chunk[:end]
        self._start += len(lines)
        self.number += lines.count(b"\n")
        pending[:] = chunk[end:]
        return lines

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that ``chunk`` completes, without their ends."""
        return [line for _, _, line in self.feed_at(chunk)]

    def feed_at(self, chunk: bytes) -> list[tuple[int, int, bytes]]:
        """As :meth:`feed`, each with its number, from 0, and the stream's offset of its first byte.

        The pieces of one line have one number.
        """
        lines: list[tuple[int, int, bytes]] = []
        *complete, rest = chunk.split(b"\n")
        for segment in complete:
            self._pending += segment
            self._cut(lines)
            lines.append((self.number, self._start, bytes(self._pending).rstrip(b"\r")))
            self.number += 1
            self._start += len(self._pending) + 1
            self._pending.clear()
        self._pending += rest
        self._cut(lines)
        return lines

    def _cut(self, lines: list[tuple[int, int, bytes]]) -> None:
        pending, size = self._pending, self._max
        if len(pending) <= size:
            return
        count = (len(pending) - 1) // size
        lines.extend(
            (self.number, self._start + i * size, bytes(pending[i * size : (i + 1) * size])) for i in range(count)
        )
        self._start += count * size
        del pending[: count * size]

"""What happens to a log on its way: each kind of damage as a function of bytes.

Hypothesis draws the steps one by one, so that it can make a counterexample small; atheris draws them from a seed. Both
damage real logs, as lines lose bytes, get flipped ones, are cut, glued, wrapped, said twice or in between each other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tests.fuzz.logs import recorded_logs, rule_examples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

__all__ = ["KINDS", "MAX_BYTES", "NOISE", "Step", "damaged", "drawn_step"]

MAX_BYTES = 128 * 1024
"""A damaged log is cut here: repeated steps could make it grow without end."""
_DRAWN = 1 << 20

NOISE = (
    b"\x00",
    b"\x00" * 17,
    b"\r",
    b"\r\n",
    b"\n\r",
    b"\n\n",
    b"\x1b[31m",
    b"\x1b[2J\x1b[H",
    b"\x1b]0;title\x07",
    b"\x1b]0;without an end",
    b"\x1b",
    b"\xff\xfe",
    b"\xc3",
    b"\xe2\x80\xae",
    b"\x9b31m",
    b"\xef\xbf\xbd",
    b"\x08" * 5,
    b"[",
    b"]",
    b"[    0.000000] ",
    b"[999999999.999999] ",
    b"[   12.345678][T99999999] ",
    b"[   12.345678][    C1] ",
    b"<4>",
    b"6,1234,5678901,-;",
    b"Jan  1 00:00:00 bbb kernel: ",
    b"root@bbb:~# dmesg\n",
    b"bbb login: ",
    b"U-Boot SPL 2019.04\n",
    b"Starting kernel ...\n",
    b"Booting Linux on physical CPU 0x0\n",
    b"[    1.000000] reboot: Restarting system\n",
    b"Rebooting in 1 seconds..\n",
    b"{message}{0}%s%n",
    b"x" * 1100,
    "\u0661\u0662".encode(),
)
"""What does not belong into a line, and what begins another one."""
_TIME = re.compile(rb"(?m)^(\[ {0,8})(\d{1,7})(\.\d{6}\])")


class Step(NamedTuple):
    """One act of damage; any numbers will do, each is taken modulo what there is."""

    kind: str
    place: int
    """Where in the log, in bytes."""
    size: int
    """How much of it; for some kinds, which piece is put in."""
    choice: int
    """Which other log, or which bit."""


def drawn_step(random: Random) -> Step:
    """A step by chance: mostly of a few bytes or lines, rarely of many."""
    size = random.choice((random.randrange(1, 8), random.randrange(1, 80), random.randrange(_DRAWN)))
    return Step(random.choice(KINDS), random.randrange(_DRAWN), size, random.randrange(_DRAWN))


def damaged(log: bytes, steps: Iterable[Step]) -> bytes:
    """The log after these steps, one after the other."""
    for step in steps:
        place = step.place % (len(log) + 1)
        log = _KINDS[step.kind](log, place, step)[:MAX_BYTES]
    return log


def _other(step: Step) -> bytes:
    logs = recorded_logs()
    return logs[step.choice % len(logs)]


def _line_start(log: bytes, place: int) -> int:
    return log.rfind(b"\n", 0, place) + 1


def _some_lines(log: bytes, place: int, step: Step) -> tuple[int, int]:
    """Start and end of up to 40 whole lines."""
    start = end = _line_start(log, place)
    for _ in range(step.size % 40 + 1):
        end = log.find(b"\n", end) + 1
        if end == 0:
            return start, len(log)
    return start, end


def _drop(log: bytes, place: int, step: Step) -> bytes:
    return log[:place] + log[place + step.size % 200 + 1 :]


def _drop_lines(log: bytes, place: int, step: Step) -> bytes:
    start, end = _some_lines(log, place, step)
    return log[:start] + log[end:]


def _flip(log: bytes, place: int, step: Step) -> bytes:
    bits = bytes(byte ^ 1 << step.choice % 8 for byte in log[place : place + step.size % 3 + 1])
    return log[:place] + bits + log[place + len(bits) :]


def _overwrite(log: bytes, place: int, step: Step) -> bytes:
    size = step.size % 40 + 1
    return log[:place] + bytes([step.choice % 256]) * size + log[place + size :]


def _truncate(log: bytes, place: int, step: Step) -> bytes:
    return log[place:] if step.choice % 2 else log[:place]


def _repeat_lines(log: bytes, place: int, step: Step) -> bytes:
    start, end = _some_lines(log, place, step)
    return log[:end] + log[start:end] * (step.choice % 3 + 1) + log[end:]


def _swap_lines(log: bytes, place: int, step: Step) -> bytes:
    start, end = _some_lines(log, place, step)
    return log[:start] + b"".join(reversed(log[start:end].splitlines(keepends=True))) + log[end:]


def _splice(log: bytes, place: int, step: Step) -> bytes:
    other = _other(step)
    start = step.size % (len(other) + 1)
    return log[:place] + other[start : start + 1 + step.choice % 2000] + log[place:]


def _follow(log: bytes, _: int, step: Step) -> bytes:
    return log + _other(step)


def _interleave_lines(log: bytes, place: int, step: Step) -> bytes:
    """Two cpus report at once: lines of another log between the lines of this one."""
    start, end = _some_lines(log, place, step)
    theirs = iter(_other(step).splitlines(keepends=True))
    woven = b"".join(ours + next(theirs, b"") for ours in log[start:end].splitlines(keepends=True))
    return log[:start] + woven + log[end:]


def _interleave_bytes(log: bytes, place: int, step: Step) -> bytes:
    """Two writers of one UART: pieces of two logs in turn, in the midst of lines."""
    size = step.size % 13 + 1
    ours, theirs = log[place : place + 30 * size], _other(step)[: 30 * size]
    woven = b"".join(ours[at : at + size] + theirs[at : at + size] for at in range(0, 30 * size, size))
    return log[:place] + woven + log[place + len(ours) :]


def _glue(log: bytes, place: int, step: Step) -> bytes:
    start, end = _some_lines(log, place, step)
    return log[:start] + log[start:end].replace(b"\n", b"") + log[end:]


def _wrap(log: bytes, place: int, step: Step) -> bytes:
    start, end = _some_lines(log, place, step)
    width = step.choice % 100 + 1
    cut = b"\n".join(log[at : at + width] for at in range(start, end, width))
    return log[:start] + cut + log[end:]


def _line_ends(log: bytes, _: int, step: Step) -> bytes:
    return log.replace(b"\n", (b"\r\n", b"\r\r\n", b"\n\r", b"\r")[step.choice % 4])


def _insert_noise(log: bytes, place: int, step: Step) -> bytes:
    return log[:place] + NOISE[step.size % len(NOISE)] + log[place:]


def _insert_rule(log: bytes, place: int, step: Step) -> bytes:
    """A line that a rule finds, at the start of a line or in the midst of one."""
    examples = rule_examples()
    place = place if step.choice % 4 == 0 else _line_start(log, place)
    return log[:place] + examples[step.size % len(examples)] + log[place:]


def _shift_times(log: bytes, place: int, step: Step) -> bytes:
    """Another boot, or the same log shown again: kernel times of some lines begin anew, jump ahead, or are gone."""
    start, end = _some_lines(log, place, step)
    shift = (-1_000_000, -5, -1, 1, 30, 1_000_000)[step.choice % 6]

    def shifted(match: re.Match[bytes]) -> bytes:
        return b"[%5d%s" % (max(int(match[2]) + shift, 0), match[3])

    text = _TIME.sub(b"" if step.choice % 7 == 0 else shifted, log[start:end])
    return log[:start] + text + log[end:]


def _add_callers(log: bytes, place: int, step: Step) -> bytes:
    """The same kernel with CONFIG_PRINTK_CALLER, and two threads that speak in turn."""
    start, end = _some_lines(log, place, step)
    lines = log[start:end].splitlines(keepends=True)
    names = (b"[    T1]", b"[  T%d]" % (step.choice % 1000), b"[    C0]")
    said = [_TIME.sub(rb"\1\2\3" + names[number % (step.size % 3 + 1)], line) for number, line in enumerate(lines)]
    return log[:start] + b"".join(said) + log[end:]


_KINDS: dict[str, Callable[[bytes, int, Step], bytes]] = {
    "drop": _drop,
    "drop lines": _drop_lines,
    "flip": _flip,
    "overwrite": _overwrite,
    "truncate": _truncate,
    "repeat lines": _repeat_lines,
    "swap lines": _swap_lines,
    "splice": _splice,
    "follow": _follow,
    "interleave lines": _interleave_lines,
    "interleave bytes": _interleave_bytes,
    "glue": _glue,
    "wrap": _wrap,
    "line ends": _line_ends,
    "insert noise": _insert_noise,
    "insert rule": _insert_rule,
    "shift times": _shift_times,
    "add callers": _add_callers,
}
KINDS = tuple(_KINDS)
"""The kinds of damage."""

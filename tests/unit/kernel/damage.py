"""What happens to a console on its way: each sort of damage as a function of bytes, strength and a random source."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["DAMAGE"]

_USER = (
    b"root@board:~# ls\n",
    b"bin boot dev etc home\n",
    b"user: measuring 12 of 40\n",
    b"Starting network... ok\n",
    b"  adc 3 = 1812 mV\n",
)


def drop_bytes(data: bytes, strength: float, source: random.Random) -> bytes:
    """Single bytes are lost."""
    return bytes(byte for byte in data if source.random() >= strength)


def drop_runs(data: bytes, strength: float, source: random.Random) -> bytes:
    """The receiver was too slow: a few bytes are lost at a time."""
    out, position = bytearray(), 0
    while position < len(data):
        if source.random() < strength / 12:
            position += source.randrange(1, 24)
        else:
            out.append(data[position])
            position += 1
    return bytes(out)


def drop_lines(data: bytes, strength: float, source: random.Random) -> bytes:
    """Whole lines are lost."""
    return b"".join(line for line in data.splitlines(keepends=True) if source.random() >= strength)


def flip_bits(data: bytes, strength: float, source: random.Random) -> bytes:
    """A bit of a byte is wrong; line ends are spared."""
    return bytes(
        byte ^ (1 << source.randrange(8)) if byte != 10 and source.random() < strength else byte for byte in data
    )


def lose_heads(data: bytes, strength: float, source: random.Random) -> bytes:
    """The beginning of a line is lost."""
    return b"".join(
        (line[source.randrange(1, 30) :] or b"\n") if source.random() < strength else line
        for line in data.splitlines(keepends=True)
    )


def lose_start(data: bytes, strength: float, _source: random.Random) -> bytes:
    """The log begins too late."""
    return data[int(len(data) * strength) :]


def lose_end(data: bytes, strength: float, _source: random.Random) -> bytes:
    """The log ends too early."""
    return data[: int(len(data) * (1 - strength))]


def glue_lines(data: bytes, strength: float, source: random.Random) -> bytes:
    """Line ends are lost."""
    return b"".join(
        line.rstrip(b"\r\n") if source.random() < strength else line for line in data.splitlines(keepends=True)
    )


def splice(data: bytes, strength: float, source: random.Random) -> bytes:
    """A line comes out in the middle of the one before it: two cpus write at once."""
    lines, out = data.splitlines(keepends=True), []
    index = 0
    while index < len(lines):
        line = lines[index]
        if index + 1 < len(lines) and len(line) > 4 and source.random() < strength:
            cut = source.randrange(1, len(line) - 1)
            index += 1
            line = line[:cut] + lines[index].rstrip(b"\n") + line[cut:]
        out.append(line)
        index += 1
    return b"".join(out)


def interleave(data: bytes, strength: float, source: random.Random) -> bytes:
    """Lines of programs come in between."""
    return b"".join(
        (source.choice(_USER) if source.random() < strength else b"") + line for line in data.splitlines(keepends=True)
    )


def interrupt(data: bytes, strength: float, source: random.Random) -> bytes:
    """What a program writes comes out in the middle of a line."""
    out = []
    for line in data.splitlines(keepends=True):
        cut = source.randrange(1, len(line) - 1) if len(line) > 4 and source.random() < strength else 0
        out.append(line[:cut] + source.choice(_USER).rstrip(b"\n") + line[cut:] if cut else line)
    return b"".join(out)


def repeat(data: bytes, strength: float, source: random.Random) -> bytes:
    """Some lines come twice."""
    lines, out = data.splitlines(keepends=True), []
    for index, line in enumerate(lines):
        out.append(line)
        if source.random() < strength / 4:
            out.extend(lines[max(0, index - source.randrange(1, 8)) : index + 1])
    return b"".join(out)


def wrap(data: bytes, strength: float, _source: random.Random) -> bytes:
    """A terminal broke the lines at so many columns."""
    width = int(strength)
    return b"".join(
        b"\n".join(line[start : start + width] for start in range(0, max(len(line), 1), width))
        for line in data.splitlines(keepends=True)
    )


DAMAGE: dict[str, tuple[Callable[[bytes, float, random.Random], bytes], float, float]] = {
    "drop_bytes": (drop_bytes, 0.01, 0.85),
    "drop_runs": (drop_runs, 0.05, 0.9),
    "drop_lines": (drop_lines, 0.3, 0.88),
    "flip_bits": (flip_bits, 0.01, 0.85),
    "lose_heads": (lose_heads, 0.3, 0.9),
    "lose_start": (lose_start, 0.2, 0.68),
    "lose_end": (lose_end, 0.5, 0.88),
    "glue_lines": (glue_lines, 0.2, 0.97),
    "splice": (splice, 0.2, 0.95),
    "interleave": (interleave, 0.3, 1.0),
    "interrupt": (interrupt, 0.2, 0.93),
    "repeat": (repeat, 0.3, 1.0),
    "wrap_80": (wrap, 80, 0.93),
    "wrap_120": (wrap, 120, 0.98),
}
"""Each sort of damage, a strength, and a floor under the share of crashes that are found all the same."""

"""Two records of what one console said, laid beside each other: which line of the one is which of the other.

One of them may begin and end anywhere, even within a line, and either may be damaged here and there. What is there
once in both is an anchor; from the anchors on, lines are followed as long as they are alike.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from operator import eq
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["align"]

_MIN_TEXT = 8
"""Fewer equal characters in all are taken for chance."""
_MIN_LINE = 4
_PIECES = 8
_SAME_TIME_NS = 300_000_000
_DEPTH = 6

Pairs = list[tuple[int, int]]


def align(
    heard: Sequence[bytes],
    lines: Sequence[bytes],
    heard_ns: Sequence[int] | None = None,
    lines_ns: Sequence[int] | None = None,
) -> NDArray[np.int64]:
    """Which of the lines that were heard each line is.

    Args:
        heard: lines without their ends; the first may lack its beginning and the last its end.
        lines: whole lines, in the same order.
        heard_ns: when each was over, to about 0.1 s: that tells lines apart which are equal.
        lines_ns: when each of these was over, likewise.

    Returns:
        The index in ``heard`` for each of ``lines``, rising; -1 for those that were not heard. All of them are -1 where
        the text does not say how the two belong together.
    """
    known: dict[bytes, int] = {}
    ours = np.array([known.setdefault(text, len(known)) for text in heard], np.int64)
    theirs = np.array([known.setdefault(text, len(known)) for text in lines], np.int64)
    best: Pairs = []
    most = 0
    for anchors in _attempts(heard, lines, ours, theirs, heard_ns, lines_ns):
        found = _follow(_rising(anchors), heard, lines, ours.tolist(), theirs.tolist())
        size = sum(min(len(heard[i]), len(lines[j])) for i, j in found)
        if size > most:
            best, most = found, size
        if 2 * most >= sum(map(len, heard)):
            break
    places = np.full(len(lines), -1, np.int64)
    if most >= _MIN_TEXT:
        for i, j in best:
            places[j] = i
    return places


def _attempts(
    heard: Sequence[bytes],
    lines: Sequence[bytes],
    ours: NDArray[np.int64],
    theirs: NDArray[np.int64],
    heard_ns: Sequence[int] | None,
    lines_ns: Sequence[int] | None,
) -> Iterator[Pairs]:
    """Ways to find anchors, the surest first."""
    # the first and the last may be parts of lines
    inner, grams, length, kinds = ours[1:-1], theirs, 1, 0
    while len(inner) and len(grams):
        yield [(i + 1, j) for i, j in _unique(inner, grams) if length > 1 or len(lines[j]) >= _MIN_LINE]
        if len(inner) <= length or len(grams) <= length:
            break
        inner, grams = _doubled(inner, grams, length)
        length *= 2
        before, kinds = kinds, len(np.unique(np.concatenate([inner, grams])))
        if kinds <= before:  # from here on, what follows each line is always the same
            break
    yield _pieces(heard, lines)
    if heard_ns is not None and lines_ns is not None:
        yield _same_time(ours, theirs, heard_ns, lines_ns)


def _unique(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Pairs:
    """Where something is that is there once in both, in the order of the first."""
    mine, at, times = np.unique(ours, return_index=True, return_counts=True)
    other, other_at, other_times = np.unique(theirs, return_index=True, return_counts=True)
    mine, at = mine[times == 1], at[times == 1]
    other, other_at = other[other_times == 1], other_at[other_times == 1]
    _, first, second = np.intersect1d(mine, other, assume_unique=True, return_indices=True)
    i, j = at[first], other_at[second]
    order = np.argsort(i)
    return list(zip(i[order].tolist(), j[order].tolist(), strict=True))


def _doubled(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Names for the runs of twice as many lines, the same for equal runs."""
    most = max(int(ours.max()), int(theirs.max())) + 1
    runs = [each[:-length] * most + each[length:] for each in (ours, theirs)]
    _, names = np.unique(np.concatenate(runs), return_inverse=True)
    return names[: len(runs[0])], names[len(runs[0]) :]


def _pieces(heard: Sequence[bytes], lines: Sequence[bytes]) -> Pairs:
    """The longest pieces, each as a part of a line: a short capture has no whole line."""
    joined, all_heard = b"\n".join(lines), b"\n".join(heard)
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])
    found = []
    for i in sorted(range(len(heard)), key=lambda i: -len(heard[i]))[:_PIECES]:
        piece = heard[i]
        at = joined.find(piece)
        if len(piece) < _MIN_TEXT or at < 0 or joined.find(piece, at + 1) >= 0:
            continue
        if all_heard.find(piece, all_heard.find(piece) + 1) < 0:
            found.append((i, int(np.searchsorted(starts, at, "right")) - 1))
    return sorted(found)


def _same_time(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], heard_ns: Sequence[int], lines_ns: Sequence[int]
) -> Pairs:
    """Equal lines of about the same time, where no other equal line is near."""
    mine, other = _places(ours), _places(theirs)
    found = []
    for name, places in mine.items():
        times = [lines_ns[j] for j in other.get(name, ())]
        if not times:
            continue
        own_times = [heard_ns[i] for i in places]
        for i in places:
            near = _only_near(times, heard_ns[i])
            if near is not None and _only_near(own_times, times[near]) is not None:
                found.append((i, other[name][near]))
    return sorted(found)


def _places(names: NDArray[np.int64]) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for at, name in enumerate(names.tolist()):
        places.setdefault(name, []).append(at)
    return places


def _only_near(times: Sequence[int], time_ns: int) -> int | None:
    """Which of rising times is near this one, if only one is."""
    first = bisect_left(times, time_ns - 2 * _SAME_TIME_NS)
    if first == len(times) or (first + 1 < len(times) and times[first + 1] <= time_ns + 2 * _SAME_TIME_NS):
        return None
    return first if abs(times[first] - time_ns) <= _SAME_TIME_NS else None


def _rising(pairs: Pairs) -> Pairs:
    """The most pairs whose second members rise too; the first ones do."""
    tails: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        place = bisect_left(tails, j)
        before.append(at[place - 1] if place else -1)
        if place == len(tails):
            tails.append(j)
            at.append(number)
        else:
            tails[place], at[place] = j, number
    found = []
    number = at[-1] if at else -1
    while number >= 0:
        found.append(pairs[number])
        number = before[number]
    found.reverse()
    return [pair for n, pair in enumerate(found) if not n or pair[0] > found[n - 1][0]]


def _follow(
    anchors: Pairs, heard: Sequence[bytes], lines: Sequence[bytes], ours: list[int], theirs: list[int], depth: int = 0
) -> Pairs:
    """The anchors, and what is alike beside them."""
    if not anchors:
        return []
    found = _extended(anchors, ours, theirs)
    whole: Pairs = []
    edges: Pairs = [(-1, -1), *found, (len(heard), len(lines))]
    for (i, j), (next_i, next_j) in pairwise(edges):
        if j >= 0:
            whole.append((i, j))
        if next_i - i > 1 and next_j - j > 1:
            inside = i >= 0 and next_i < len(heard)
            whole += _between(i, j, next_i, next_j, heard, lines, ours, theirs, depth if inside else _DEPTH)
    return whole


def _extended(anchors: Pairs, ours: list[int], theirs: list[int]) -> Pairs:
    """The anchors with all equal lines right before and after them."""
    found: Pairs = []
    last_i = last_j = -1
    for number, (i, j) in enumerate(anchors):
        if i <= last_i or j <= last_j:
            continue
        begin = len(found)
        back_i, back_j = i - 1, j - 1
        while back_i > last_i and back_j > last_j and ours[back_i] == theirs[back_j]:
            found.append((back_i, back_j))
            back_i, back_j = back_i - 1, back_j - 1
        found[begin:] = found[begin:][::-1]
        end_i, end_j = anchors[number + 1] if number + 1 < len(anchors) else (len(ours), len(theirs))
        while i < end_i and j < end_j and ours[i] == theirs[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        if not found or found[-1][0] < anchors[number][0]:  # a part of a line, which is not equal to it
            found.append(anchors[number])
        last_i, last_j = found[-1]
    return found


def _between(
    i: int,
    j: int,
    next_i: int,
    next_j: int,
    heard: Sequence[bytes],
    lines: Sequence[bytes],
    ours: list[int],
    theirs: list[int],
    depth: int,
) -> Pairs:
    """What belongs together between two pairs, or beyond the first or last one."""
    if depth < _DEPTH:
        gap_ours, gap_theirs = ours[i + 1 : next_i], theirs[j + 1 : next_j]
        anchors = _rising(_unique(np.array(gap_ours, np.int64), np.array(gap_theirs, np.int64)))
        if anchors:
            parts = heard[i + 1 : next_i], lines[j + 1 : next_j]
            inner = _follow(anchors, *parts, gap_ours, gap_theirs, depth + 1)
            return [(i + 1 + a, j + 1 + b) for a, b in inner]
    forward: Pairs = []
    while i >= 0 and i + 1 < next_i and j + 1 < next_j and _alike(i + 1, heard, lines[j + 1]):
        i, j = i + 1, j + 1
        forward.append((i, j))
    backward: Pairs = []
    while next_i < len(heard) and next_i - 1 > i and next_j - 1 > j and _alike(next_i - 1, heard, lines[next_j - 1]):
        next_i, next_j = next_i - 1, next_j - 1
        backward.append((next_i, next_j))
    return forward + backward[::-1]


def _alike(i: int, heard: Sequence[bytes], line: bytes) -> bool:
    """Whether what was heard is that line, but for some damage, or is what the capture has of it."""
    text = heard[i]
    if text == line or not text:
        return text == line
    if i == len(heard) - 1 and line.startswith(text):
        return True
    if i == 0 and line.endswith(text):
        return True
    same = _beginning(text, line) + _beginning(text[::-1], line[::-1])
    if len(text) == len(line):
        same = max(same, sum(map(eq, text, line)))
    return 2 * same >= max(len(text), len(line))


def _beginning(text: bytes, line: bytes) -> int:
    """How many bytes both begin with."""
    differing = (at for at, (ours, theirs) in enumerate(zip(text, line, strict=False)) if ours != theirs)
    return next(differing, min(len(text), len(line)))

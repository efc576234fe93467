"""Pieces of SVG: text that is safe whatever it says, and that fits whatever the width. ``x`` is in per cent."""

from __future__ import annotations

import unicodedata
from math import ceil, floor, log10
from xml.sax.saxutils import escape

from pytest_shepherd_hil.text import printable

__all__ = ["STYLE", "clean", "fitting", "label", "rect", "stretched", "ticks", "vertical", "wrapped"]

_NARROW_PX, _WIDE_PX = 720, 1280
_ROOM_PX = {"n": 372, "w": 700, "x": 1240}
"""How wide a panel is at least, for each class of widths: narrow, wide from 720 px on, and extra wide from 1280."""

STYLE = f"""
:root {{ --bg:#ffffff; --ink:#1f2328; --dim:#59636e; --grid:#d8dee4; --rule:#afb8c1; --uart:#0a5cc2; --wire:#0b6e4f;
 --bad:#c4121e; --wash:#ffd7d5; --zoom:#fff3c4 }}
@media (prefers-color-scheme:dark) {{ :root {{ --bg:#0d1117; --ink:#e6edf3; --dim:#9aa5b1; --grid:#262d36;
 --rule:#4b5561; --uart:#66aaff; --wire:#4fc796; --bad:#ff7b72; --wash:#571d1f; --zoom:#3d3415 }} }}
text {{ font:11px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans","Liberation Sans",sans-serif;
 fill:var(--dim); white-space:pre; direction:ltr; unicode-bidi:bidi-override;
 paint-order:stroke; stroke:var(--bg); stroke-width:3px; stroke-opacity:.7 }}
.title {{ font-size:15px; font-weight:600; fill:var(--ink) }}
.name {{ font-size:12px; font-weight:600; fill:var(--ink) }}
.said {{ font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono","Liberation Mono",monospace;
 fill:var(--ink) }}
.bad {{ fill:var(--bad) }}
.end {{ text-anchor:end }}
.mid {{ text-anchor:middle }}
path,line {{ vector-effect:non-scaling-stroke; fill:none }}
.wire {{ stroke:var(--wire); stroke-width:1.5 }}
.wires {{ fill:var(--wire); opacity:.75 }}
.uart {{ stroke:var(--uart); stroke-width:1.2 }}
.uarts {{ fill:var(--uart); opacity:.75 }}
.bar {{ fill:var(--dim); opacity:.8 }}
.badbar {{ fill:var(--bad) }}
.grid {{ stroke:var(--grid) }}
.rule,.lead {{ stroke:var(--rule) }}
.badlead {{ stroke:var(--bad); opacity:.6 }}
.first {{ stroke:var(--bad); stroke-width:1.5 }}
.last {{ stroke:var(--bad); stroke-dasharray:2 3 }}
.mark {{ stroke:var(--dim); stroke-dasharray:5 4 }}
.wash {{ fill:var(--wash); opacity:.75 }}
.unsure {{ fill:var(--wash); opacity:.45 }}
.zoom {{ fill:var(--zoom) }}
.bg {{ fill:var(--bg) }}
.n,.x {{ display:none }}
.w {{ display:inline }}
@media (max-width:{_NARROW_PX - 1}px) {{ .w,.x,.wide {{ display:none }} .n {{ display:inline }}
 .title {{ font-size:12px }} }}
@media (min-width:{_WIDE_PX}px) {{ .n,.w {{ display:none }} .x {{ display:inline }} }}
""".strip()
"""Light and dark, and what shows at which width."""


def clean(text: str, limit: int) -> str:
    """Text that shows as one line from left to right, a place for each character, and that XML may hold."""
    safe = printable(text[: 2 * limit].expandtabs(4), 4 * limit)
    shown = "".join("·" if _odd(character) else character for character in safe)
    return shown if len(shown) <= limit else f"{shown[: max(limit - 1, 0)]}…"


def _odd(character: str) -> bool:
    """What takes no place, or is no character."""
    return character > "~" and unicodedata.category(character) in ("Mn", "Me", "Cc", "Cf", "Cs", "Co", "Cn")


def label(x: float, y: float, text: str, kind: str = "", *, move: float = 0) -> str:
    """A text, moved to the right by so many pixels."""
    classes = f' class="{kind}"' if kind else ""
    moved = f' transform="translate({move:g})"' if move else ""
    return f'<text x="{x:.2f}%" y="{y:g}"{classes}{moved}>{escape(text)}</text>'


def fitting(
    x: float, y: float, text: str, kind: str, *, room: float, per_px: float, move: float = 0, brief: str | None = None
) -> str:
    """A text cut to the room that it has, for each class of widths.

    Args:
        x: in per cent of the width.
        y: of its base line, in pixels.
        text: as it came from the board.
        kind: classes.
        room: share of the width, 0.0 to 1.0.
        per_px: characters in a pixel.
        move: how many pixels it is moved to the right.
        brief: what to say where the room is too small for the text.
    """
    cut: dict[str, list[str]] = {}
    for width, px in _ROOM_PX.items():
        most = max(int((px * room - abs(move)) * per_px), 3)
        cut.setdefault(clean(text if brief is None or len(text) <= most else brief, most), []).append(width)
    if len(cut) == 1:
        return label(x, y, next(iter(cut)), kind, move=move)
    return "".join(label(x, y, shown, f"{kind} {' '.join(at)}".strip(), move=move) for shown, at in cut.items())


def wrapped(text: str, width: str, *, per_px: float, most: int) -> list[str]:
    """A text broken into rows, cut after ``most`` of them.

    Args:
        text: as it came from the board.
        width: the class of widths that it is for.
        per_px: characters in a pixel.
        most: rows.
    """
    room = int(_ROOM_PX[width] * per_px)
    return _rows(clean(text, room * most), room, most) if text else []


def _rows(text: str, room: int, most: int) -> list[str]:
    rows: list[str] = []
    while len(text) > room and len(rows) < most - 1:
        at = text.rfind(" ", room // 2, room + 1)
        at = at if at > 0 else room
        rows.append(text[:at])
        text = text[at:].lstrip()
    return [*rows, text if len(text) <= room else f"{text[: room - 1]}…"]


def rect(left: float, right: float, y: float, bottom: float, kind: str, *, least: float = 0.0) -> str:
    """A rectangle, ``least`` per cent wide at least."""
    width = max(right - left, least)
    return f'<rect x="{left:.2f}%" width="{width:.2f}%" y="{y:g}" height="{max(bottom - y, 0):g}" class="{kind}"/>'


def vertical(x: float, y: float, bottom: float, kind: str) -> str:
    """An upright line."""
    return f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="{y:g}" y2="{bottom:g}" class="{kind}"/>'


def stretched(y: float, height: float, columns: int, content: str) -> str:
    """What is drawn in a box of ``columns`` by 100, stretched over the whole width."""
    return (
        f'<svg y="{y:g}" width="100%" height="{height:g}" viewBox="0 0 {columns} 100" '
        f'preserveAspectRatio="none">{content}</svg>'
    )


def ticks(start: float, end: float, about: int) -> tuple[list[float], float]:
    """Round numbers between two, about so many, and how far apart they are."""
    rough = (end - start) / about
    power = 10.0 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = ceil(start / step - 1e-9), floor(end / step + 1e-9)
    return [number * step for number in range(first, last + 1)], step

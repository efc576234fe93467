"""The picture of a capture: what is in it, that it is small, and that nothing in it can do harm."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.evidence.picture import Mark, Picture, Said, Trace, draw
from pytest_shepherd_hil.evidence.svg import clean, ticks
from pytest_shepherd_hil.evidence.wave import HIGH, LOW, bars, wave

SVG = "{http://www.w3.org/2000/svg}"
RATE = 1_000_000


def trace(name: str, edges: object, initial: int = 0, *, console: bool = False) -> Trace:
    return Trace(name, f"what {name} did", "", np.array(edges, np.int64), initial, console)


def crash(**changes: object) -> Picture:
    """A sync line that stops, and a console that goes on."""
    said = [Said(50_000 * number, 50_000 * number + 5000, f"line {number}", 20 <= number < 24) for number in range(40)]
    values: dict[str, object] = {
        "title": "kernel oops (board b)",
        "notes": ["tied by decoded text"],
        "samplerate": RATE,
        "total": 2_000_000,
        "traces": [
            trace("uart_tx (D0)", range(0, 2_000_000, 40), 1, console=True),
            trace("sync (D1)", range(0, 900_000, 50_000)),
        ],
        "said": said,
        "marks": [Mark(100_000, "test began")],
        "zero": 1_000_000,
        "incidents": [(1_000_000, 1_155_000)],
        "unsure": 9,
        "character": 87,
    }
    return Picture(**(values | changes))  # type: ignore[arg-type]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def lanes(svg: str, kind: str) -> list[str]:
    """The outlines of the channels of a kind: in the overview, then in the zoom."""
    return [element.attrib["d"] for element in ET.fromstring(svg).iter(f"{SVG}path") if element.attrib["class"] == kind]


def drawn(path: str, columns: int) -> list[set[int]]:
    """The levels in each column of an outline, by following it as a browser does."""
    seen: list[set[int]] = [set() for _ in range(columns + 1)]
    x, y = 0, 0
    for command, numbers in re.findall(r"([MHV])([\d ]+)", path):
        values = [int(value) for value in numbers.split()]
        if command == "M":
            x, y = values
        elif command == "V":
            seen[x].add(y)
            y = values[0]
        else:
            for at in range(x, values[0]):
                seen[at].add(y)
            x = values[0]
        seen[x].add(y)
    return [{1 if level == HIGH else 0 for level in levels} for levels in seen]


# what is in it


def test_an_overview_and_the_moments_around_the_first_line() -> None:
    svg = draw(crash())
    said = texts(svg)
    assert said.count("incident: first line") == 2
    assert "the capture, 2 s" in said
    assert any(re.fullmatch(r".* around the first line of the incident", text) for text in said)
    assert "what sync (D1) did" in said
    assert "line 20" in said
    assert "line 39" not in said
    assert {"\N{MINUS SIGN}0.5 s", "0 s", "+0.5 s", "test began"} <= set(said)
    overview, zoom = lanes(svg, "wire")
    assert overview.count("V") == 18
    assert zoom.count("V") == 0  # it had stopped before


def test_the_zoom_shows_a_channels_last_edge_where_it_is_near() -> None:
    svg = draw(crash(traces=[trace("sync (D1)", range(0, 980_000, 50_000))], said=[], marks=[]))
    assert [path.count("V") for path in lanes(svg, "wire")] == [20, 1]


def test_of_many_lines_those_beside_the_first_line_are_shown() -> None:
    said = [Said(at * 500, at * 500 + 400, f"line {at}", at >= 2000) for at in range(4000)]
    edges = range(0, 1_000_000, 47_000)  # the last one lies well before the incident, and is in the zoom
    found = texts(draw(crash(said=said, traces=[trace("sync (D1)", edges)], character=870)))
    assert [text for text in found if text.startswith("line ")] == [f"line {at}" for at in range(1997, 2013)]


def test_the_console_comes_last_with_its_text_below() -> None:
    said = texts(draw(crash()))
    assert said.index("sync (D1)") < said.index("uart_tx (D0)") < said.index("line 20")


def test_without_the_consoles_channel_there_is_a_lane_for_its_lines() -> None:
    svg = draw(crash(traces=[trace("sync (D1)", [5])], unsure=100_000))
    assert "console" in texts(svg)
    assert 'class="unsure"' in svg


def test_a_short_capture_needs_no_zoom_and_has_the_text_in_it() -> None:
    said = [Said(1000, 6000, "before"), Said(10_000, 15_000, "Oops", bad=True)]
    found = texts(draw(crash(total=20_000, zero=10_000, incidents=[(10_000, 15_000)], said=said, marks=[])))
    assert {"before", "Oops", "the capture, 20 ms"} <= set(found)
    assert not any("around the first line" in text for text in found)


def test_without_an_incident_times_count_from_the_beginning() -> None:
    found = texts(draw(crash(incidents=[], zero=0.0)))
    assert {"0 s", "+2 s"} <= {text.replace(".0", "") for text in found}
    assert "incident: first line" not in found


def test_text_for_each_width() -> None:
    svg = draw(crash(title="kernel oops: " + "a rather long headline " * 5))
    kinds = {kind for element in ET.fromstring(svg).iter(f"{SVG}text") for kind in element.get("class", "").split()}
    assert {"n", "w", "x", "title"} <= kinds
    assert "prefers-color-scheme:dark" in svg


# it is bounded


def test_a_picture_of_anything_is_small() -> None:
    worst = np.sort(np.concatenate([np.arange(0, 8_000_000, 64_000) + shift for shift in (0, 5, 16_000)]))
    traces = [trace(f"D{number}", worst) for number in range(70)]
    svg = draw(
        crash(
            title="x" * 10_000,
            total=8_000_000,
            traces=traces,
            said=[Said(at * 100, at * 100 + 50, "x" * 10_000, at % 2 == 0) for at in range(5000)],
            marks=[Mark(at * 1000, "f" * 10_000) for at in range(5000)],
            incidents=[(at * 1000, at * 1000 + 500) for at in range(5000)],
            zero=0.0,
        )
    )
    assert len(svg) < 200_000
    assert "54 more channels are not shown" in " ".join(texts(svg))


@pytest.mark.parametrize("samplerate", [1, 1000, 24_000_000, 10**9])
@pytest.mark.parametrize("total", [0, 1, 2, 1000, 10**9])
def test_captures_of_no_time_and_of_days(samplerate: int, total: int) -> None:
    for zero in (0.0, total / 2):
        svg = draw(
            crash(
                samplerate=samplerate,
                total=total,
                traces=[trace("D0", [])],
                said=[],
                marks=[],
                zero=zero,
                incidents=[(zero, zero)],
                character=0.0,
            )
        )
        assert len(texts(svg)) > 3
        assert len(svg) < 20_000


def test_an_incident_outside_of_the_capture() -> None:
    for zero in (-500_000.0, 3_000_000.0):
        found = texts(draw(crash(zero=zero, incidents=[(zero, zero + 1000)])))
        assert "incident: first line" not in found


def test_still_channels_give_way_to_those_that_moved() -> None:
    traces = [trace(f"D{number}", [number] if number >= 20 else []) for number in range(24)]
    found = texts(draw(crash(traces=traces)))
    assert {"D0", "D20", "D23"} <= set(found)
    assert "D13" not in found


# it does no harm


@settings(deadline=None)
@given(text=st.text(), more=st.text(st.characters(min_codepoint=0x80), max_size=50))
def test_text_of_any_kind_is_one_line_of_safe_text(text: str, more: str) -> None:
    svg = draw(
        crash(
            title=text,
            notes=[more],
            traces=[Trace(text, more, text, np.array([5], np.int64), 0)],
            said=[Said(1_000_000, 1_000_500, more + text, bad=True)],
            marks=[Mark(1_000_000, more)],
        )
    )
    root = ET.fromstring(svg)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "style", "rect", "text", "path", "line",
    }  # fmt: skip
    for element in root.iter():
        assert not any(name.startswith("on") or "href" in name for name in element.attrib)
        if element.tag == f"{SVG}text":
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", element.text or "")


def test_markup_and_control_characters_are_shown_and_not_obeyed() -> None:
    assert clean("<b>&\x1b[31m\u202e\u0301\ufffe\tx", 100) == "<b>&\\u202e··    x"
    assert clean("x" * 100, 10) == "x" * 9 + "…"
    svg = draw(crash(title="<script>alert(1)</script>"))
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


# waveforms


@settings(deadline=None)
@given(
    edges=st.lists(st.integers(1, 5000), unique=True, max_size=300),
    initial=st.integers(0, 1),
    columns=st.integers(10, 600),
    start=st.integers(0, 2000),
    length=st.integers(1, 4000),
)
def test_a_wave_has_the_level_of_every_column_that_is_no_band(
    edges: list[int], initial: int, columns: int, start: int, length: int
) -> None:
    edges = sorted(edges)
    line, bands = wave(np.array(edges, np.int64), initial, start, start + length, columns)
    banded = set()
    for left, width in re.findall(rf"M(\d+) {HIGH}h(\d+)v{LOW - HIGH}h-\d+z", bands):
        banded |= set(range(int(left), int(left) + int(width)))
    shown = drawn(line, columns)
    per_column = length / columns
    for column in range(columns):
        begin, end = start + column * per_column, start + (column + 1) * per_column
        inside = [edge for edge in edges if begin + 1e-6 < edge < end - 1e-6]
        before = (initial + sum(edge <= begin + 1e-6 for edge in edges)) % 2
        if len(inside) > 1:
            assert column in banded
        if column not in banded and not inside:
            assert before in shown[column]
        if column not in banded and len(inside) == 1:
            assert shown[column] == {0, 1}


def test_a_million_edges_are_one_band() -> None:
    line, bands = wave(np.arange(0, 10_000_000, 10), 0, 0, 10_000_000, 1600)
    assert bands == "M0 10h1600v80h-1600z"
    assert len(line) < 20


def test_bars_that_touch_are_one() -> None:
    assert bars([(0, 100), (100, 200), (500, 501), (990, 5000), (-50, -10)], 0, 1000, 100) == (
        "M0 0h20v100h-20zM50 0h1v100h-1zM99 0h1v100h-1z"
    )


@given(start=st.floats(-1e6, 1e6), length=st.floats(1e-6, 1e6))
def test_ticks_are_round_and_neither_few_nor_many(start: float, length: float) -> None:
    found, step = ticks(start, start + length, 8)
    assert 3 <= len(found) <= 10
    assert f"{step:e}"[0] in "125"

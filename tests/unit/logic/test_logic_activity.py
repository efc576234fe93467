"""What a channel did, in words."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_shepherd_hil.logic.activity import activity, duration_text, frequency_text, samplerate_text

RATE = 1_000_000


def toggling(hertz: float, begin_s: float, end_s: float) -> list[int]:
    return [round(RATE * (begin_s + number / (2 * hertz))) for number in range(round((end_s - begin_s) * 2 * hertz))]


def words(edges: list[int], initial: int = 0, *, seconds: float = 2.0, moment_s: float | None = None) -> str:
    moment = None if moment_s is None else round(moment_s * RATE)
    return activity(
        np.array(edges, np.int64), initial, round(seconds * RATE), RATE, moment=moment, called="the incident"
    )


def test_a_clock_that_stops_before_the_incident() -> None:
    assert words(toggling(10, 0.02, 1.2), moment_s=1.52) == "10.0 Hz until 0.35 s before the incident, then still (low)"


def test_a_clock_that_stops_after_it() -> None:
    assert words(toggling(100, 0, 1.5), 1, moment_s=1.4) == "100 Hz until 95 ms after the incident, then still (high)"


def test_a_clock_that_goes_on() -> None:
    assert words(toggling(10, 0.02, 2), moment_s=1.5) == "10.0 Hz all the time"


def test_a_clock_that_begins_late() -> None:
    assert words(toggling(1000, 1.25, 2), moment_s=1.5) == (
        "still (low) until 0.25 s before the incident, then 1.00 kHz to the end"
    )
    assert words(toggling(1000, 1.25, 1.75), moment_s=1.5) == (
        "still (low) until 0.25 s before the incident, then 1.00 kHz until 0.25 s after the incident, then still (low)"
    )


def test_a_clock_with_a_pause_and_a_glitch_is_still_one() -> None:
    edges = sorted([*toggling(100, 0, 0.8), *toggling(100, 1.0, 2.0), 1_300_001, 1_300_002])
    assert words(edges).startswith("100 Hz")


def test_a_line_that_stands_still() -> None:
    assert words([]) == "still (low) all the time"
    assert words([], 1, moment_s=1) == "still (high) all the time"


def test_a_line_that_is_no_clock() -> None:
    assert words([1_000_000], moment_s=1.5) == "1 edge, 0.5 s before the incident, then high"
    assert words([100, 5000, 5100, 1_900_000]) == "4 edges, the last 0.1 s before the end, then low"
    odd = (np.cumsum(np.random.default_rng(1).integers(1, 2000, 500))).tolist()
    assert words(odd).startswith("500 edges, the last ")


def test_an_edge_at_the_moment_itself_and_no_samples() -> None:
    assert words([1_500_000], moment_s=1.5) == "1 edge, at the incident, then high"
    assert words([], seconds=0) == "no samples"


def test_a_moment_outside_of_the_capture() -> None:
    assert words([1_000_000], moment_s=12) == "1 edge, 11 s before the incident, then high"
    assert words([1_000_000], moment_s=-3) == "1 edge, 4 s after the incident, then high"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.35, "0.35 s"),
        (0.0999, "0.1 s"),
        (0.02, "20 ms"),
        (0.01234, "12.3 ms"),
        (8.68e-6, "8.7 µs"),
        (0.0987, "98.7 ms"),
        (2.5e-8, "25 ns"),
        (1.5e-7, "0.15 µs"),
        (121.7, "122 s"),
        (9.96, "9.96 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("hertz", "text"),
    [
        (10, "10.0 Hz"),
        (0.5, "0.50 Hz"),
        (999.4, "999 Hz"),
        (999.9, "1.00 kHz"),
        (32768, "32.8 kHz"),
        (24e6, "24.0 MHz"),
    ],
)
def test_frequencies(hertz: float, text: str) -> None:
    assert frequency_text(hertz) == text


def test_samplerates() -> None:
    assert [samplerate_text(rate) for rate in (1_000_000, 625_000, 24_000_000, 123_457, 960)] == [
        "1 MHz",
        "625 kHz",
        "24 MHz",
        "123.457 kHz",
        "960 Hz",
    ]

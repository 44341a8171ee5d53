"""The charts' theme: legible colours, labels without overlap, and the common time axis."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.views.theme import DARK, LIGHT, NARROW, SHAPES, STATE_OF, VARIANTS, Palette, separated
from deploy.views.time_axis import Marker, TimeAxis
from streaming.contracts.records import ALARMED


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast ratio (WCAG 2)."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_and_marks_stand_out_from_the_background(palette: Palette) -> None:
    assert contrast(palette.text, palette.background) > 7.0
    assert contrast(palette.muted, palette.background) > 4.5
    for colour in (*palette.series, *palette.states.values()):
        assert contrast(colour, palette.background) > 3.0


def test_states_differ_in_shape_as_well_as_in_colour() -> None:
    assert len(set(SHAPES.values())) == len(SHAPES)
    for palette in (LIGHT, DARK):
        assert len(set(palette.states.values())) == len(palette.states)
    assert set(STATE_OF) >= ALARMED


def test_the_narrow_variants_fit_a_phone() -> None:
    for suffix, theme in VARIANTS.items():
        assert ("narrow" in suffix) is theme.narrow
        if theme.narrow:
            assert theme.width == NARROW == 400
            assert theme.font_size >= 12


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=8), st.floats(0.1, 2.0))
def test_labels_are_apart_and_in_order(positions: list[float], gap: float) -> None:
    result = separated(positions, gap)
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    for first, second in pairwise(order):
        assert result[second] - result[first] >= gap - 1e-5


@pytest.mark.parametrize(
    ("span", "unit"), [(300, "seconds"), (1_800, "minutes"), (36_000, "hours"), (864_000, "days")]
)
def test_the_unit_of_the_axis_follows_its_span(span: float, unit: str) -> None:
    axis = TimeAxis(start=1_000.0, stop=1_000.0 + span)
    encoding = axis.encoding(VARIANTS[""]).to_dict()
    assert encoding["title"] == f"{unit} since the start"
    assert encoding["scale"]["domain"] == [0.0, axis.domain[1]]


def test_markers_outside_the_axis_are_left_out() -> None:
    markers = (Marker(5.0, "early"), Marker(50.0, "shift"), Marker(500.0, "late"))
    axis = TimeAxis(start=0.0, stop=100.0, shown_from=10.0, markers=markers)
    layers = axis.marker_layers(VARIANTS[""], 600)
    assert [layer.to_dict()["mark"].get("text") for layer in layers] == [None, "shift"]


def test_labels_of_near_markers_stand_in_different_rows() -> None:
    markers = tuple(Marker(50.0 + at, "version 1 live") for at in (0.0, 1.0, 2.0))
    axis = TimeAxis(start=0.0, stop=100.0, markers=markers)
    layers = axis.marker_layers(VARIANTS[""], 600)[1:]
    heights = [layer.to_dict()["encoding"]["y"]["value"] for layer in layers]
    assert len(set(heights)) == 3

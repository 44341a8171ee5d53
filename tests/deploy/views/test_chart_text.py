"""Charts with text of other programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.views.output import save_chart, svg_text
from deploy.views.theme import DEFAULT, finish, values

EVIL = "fare\x1b[31m\x00\u202e<script>"


def chart() -> object:
    import altair as alt

    data = values([{"x": 1, "y": EVIL}])
    return finish(alt.Chart(data).mark_point().encode(x="x:Q", y="y:N"), DEFAULT, EVIL)


def test_control_characters_are_drawn_as_escapes() -> None:
    svg = svg_text(chart())
    assert "\\x1b[31m\\x00\\u202e&lt;script&gt;" in svg
    assert "\x1b" not in svg


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_file_is_written_whatever_the_text_is(tmp_path: Path, suffix: str) -> None:
    save_chart(chart(), tmp_path / f"chart{suffix}")
    assert (tmp_path / f"chart{suffix}").stat().st_size > 1000

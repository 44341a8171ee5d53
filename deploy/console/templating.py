"""The templates: everything is escaped, and control characters of foreign text are visible."""

from __future__ import annotations

from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from deploy.config.units import format_time
from deploy.console.assets_lock import ASSETS
from deploy.console.run_pages import ended_as
from deploy.console.states import about, state_of
from deploy.projection.rows import kind_of
from deploy.records.describe import describe, head
from deploy.views.approvals import who_may
from deploy.views.escapes import visible
from retrain.run_view import headline_of

FOLDER = Path(__file__).parent
SPARK_WIDTH, SPARK_HEIGHT = 120, 28


def environment() -> Environment:
    """The environment of all templates."""
    made_visible = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    made_visible.filters.update(
        time=format_time,
        duration=about,
        state=state_of,
        kind=kind_of,
        describe=describe,
        head=head,
        who_may=who_may,
        words=lambda text: str(text).replace("-", " ").replace("_", " "),
        spark=spark_points,
        number=number,
        headline=headline_of,
        ended_as=ended_as,
        ticks=ticks,
    )
    made_visible.globals.update(
        assets=ASSETS,
        limit_y=limit_y,
        spark_width=SPARK_WIDTH,
        spark_height=SPARK_HEIGHT,
        new_key=lambda: token_urlsafe(16),
    )
    return made_visible


def number(value: float | None) -> str:
    """A measured value; a dash where there is none.

    >>> number(0.87654), number(None)
    ('0.877', '–')
    """
    return "–" if value is None else f"{value:.3f}"


def ticks(text: str) -> Markup:
    """A sentence in which what stands between backticks is shown as code.

    >>> str(ticks("`a < b` runs; a ` alone stays"))
    '<code>a &lt; b</code> runs; a ` alone stays'
    """
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:  # the last backtick has no partner
        parts[-2:] = ["`".join(parts[-2:])]
    marked = [
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    ]
    return Markup("").join(marked)


def _visible(value: Any) -> Any:
    """Control characters as escapes; markup that a template made stays."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def spark_points(ratios: tuple[float, ...]) -> str:
    """The points of a polyline of effects over their limits; the limit is at 1.

    >>> spark_points((0.0, 1.0))
    '0.0,27.0 120.0,8.4'
    """
    top = _top(ratios)
    step = SPARK_WIDTH / max(1, len(ratios) - 1)
    return " ".join(f"{i * step:.1f},{_y(ratio, top):.1f}" for i, ratio in enumerate(ratios))


def limit_y(ratios: tuple[float, ...]) -> str:
    """Height of the limit in such a line.

    >>> limit_y((0.0, 1.0))
    '8.4'
    """
    return f"{_y(1.0, _top(ratios)):.1f}"


def _top(ratios: tuple[float, ...]) -> float:
    return min(6.0, max(1.4, *ratios, 0.0))


def _y(ratio: float, top: float) -> float:
    return SPARK_HEIGHT - 1 - (SPARK_HEIGHT - 2) * min(ratio, top) / top

"""Writes a report as one HTML file: pictures and style are in it, scripts are not."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from deploy.config.units import format_time
from deploy.console.states import state_of
from deploy.projection.reader import ProjectionReader
from deploy.reports.contents import Report
from deploy.views.drift_charts import complete_chart, headline
from deploy.views.escapes import visible
from deploy.views.output import svg_text
from streaming.contracts.errors import PermanentError
from streaming.contracts.records import DriftVerdict

MAX_BYTES = 1_000_000
"""A report is smaller, so that it can be sent and kept anywhere."""
MAX_PICTURE = 300_000
PICTURED = 200
"""Newest full verdicts that the picture may show."""


def rendered(report: Report, reader: ProjectionReader, *, now: float, by: str) -> str:
    """The file's text.

    Parameters
    ----------
    by:
        Who made it.

    Raises
    ------
    PermanentError
        When it would be too large.
    """
    picture, alt = _picture(report, reader)
    text = (
        _environment()
        .get_template("report.html")
        .render(report=report, picture=picture, alt=alt, now=now, by=by)
    )
    if len(text.encode()) >= MAX_BYTES:
        raise PermanentError(
            f"The report would have {len(text.encode())} bytes; give a shorter period."
        )
    return text


def _picture(report: Report, reader: ProjectionReader) -> tuple[Markup | None, str]:
    """The drift in the period; None when the projection keeps no full verdict of it."""
    kept = reader.records(DriftVerdict, report.model, PICTURED)
    verdicts = [verdict for verdict in kept if report.start <= verdict.at < report.end]
    if not verdicts:
        return None, ""
    svg = svg_text(complete_chart(verdicts, None))
    if len(svg) > MAX_PICTURE:
        return None, headline(verdicts)
    return Markup(svg), headline(verdicts)  # noqa: S704  # drawn here, from escaped text


def _environment() -> Environment:
    folder = resources.files("deploy.reports") / "templates"
    environment = Environment(
        loader=FileSystemLoader(str(folder)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters.update(
        time=format_time,
        state=state_of,
        words=lambda text: str(text).replace("-", " ").replace("_", " "),
    )
    return environment


def _visible(value: Any) -> Any:
    """Control characters as escapes; markup that was made here stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

"""The runbook of the alerts as a page; alerts link to its entries."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

RUNBOOK = Path(__file__).resolve().parents[1] / "prometheus" / "RUNBOOK.md"


@cache
def runbook_html() -> Markup:
    """The runbook's text; each alert's heading has its name in lower case as its id.

    Markup of the text itself is not taken over.
    """
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(RUNBOOK.read_text())
    html = re.sub(r"<h([1-6])>(\w+)</h\1>", _with_id, html)
    body = html.partition("</h1>")[2]  # the page has the title
    return Markup(body)  # noqa: S704  # our text


def _with_id(match: re.Match[str]) -> str:
    level, name = match.groups()
    return f'<h{level} id="{name.lower()}">{name}</h{level}>'

"""Lists the PromQL expressions of the dashboards, with Grafana's variables replaced."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deploy.grafana.files import dashboard_files

VARIABLES: Mapping[str, str] = {
    "$__rate_interval": "1m",
    "$__interval": "15s",
    "$model": ".*",
}


class Expression(NamedTuple):
    """One query of one panel."""

    panel: str
    expr: str


def expressions(*files: Path, variables: Mapping[str, str] = VARIABLES) -> tuple[Expression, ...]:
    """The expressions of all panels of these dashboards, by default of all, in their order.

    Raises
    ------
    ValueError
        When an expression has an unknown variable.
    """
    result = tuple(
        Expression(panel, _substituted(text, variables))
        for file in files or dashboard_files()
        for panel, text in _texts(json.loads(file.read_text()))
    )
    for expression in result:
        if "$" in expression.expr.replace('$"', ""):
            raise ValueError(
                f"Panel {expression.panel!r} uses an unknown variable in {expression.expr!r}; "
                "add it to VARIABLES."
            )
    return result


def _texts(board: Any) -> Iterator[tuple[str, str]]:
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    for name in sorted(variables, key=len, reverse=True):
        text = text.replace(name, variables[name])
    return text

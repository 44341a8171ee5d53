"""Generates the dashboard: ``python -m deploy.grafana.board`` writes ``dashboards/driftline.json``.

The layout follows dashboards of progressive delivery: the arms side by side on top (requests,
errors, latency), then the causes of the change (drift, retrain), and totals at the bottom.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.grafana.panel import MODEL, Panel
from deploy.grafana.rows import ROWS

FILE = Path(__file__).parent / "dashboards" / "driftline.json"
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH = 24


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, height, row in ROWS:
        position = {"h": 1, "w": _WIDTH, "x": 0, "y": top}
        panels.append({"type": "row", "title": title, "gridPos": position, "panels": []})
        width = _WIDTH // len(row)
        for number, panel in enumerate(row):
            position = {"h": height, "w": width, "x": number * width, "y": top + 1}
            panels.append(_panel(panel, position))
        top += height + 1
    for number, entry in enumerate(panels, start=1):
        entry["id"] = number
    return {
        "uid": "driftline",
        "title": "Driftline",
        "tags": ["driftline"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": [_promotions()]},
        "panels": panels,
    }


def _variables() -> list[dict[str, Any]]:
    query = "label_values(driftline_live_version, model)"
    return [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            "name": "model",
            "label": "Model",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": "models"},
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _promotions() -> dict[str, Any]:
    return {
        "name": "Promotions",
        "enable": True,
        "iconColor": "green",
        "datasource": _SOURCE,
        "expr": f"changes(driftline_live_version{{{MODEL}}}[1m]) > 0",
        "titleFormat": "A version went live",
        "step": "60s",
    }


def _panel(panel: Panel, position: dict[str, int]) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    custom: dict[str, Any] = {}
    if panel.limit is not None:
        steps.append({"color": "red", "value": panel.limit})
        custom["thresholdsStyle"] = {"mode": "line"}
    if panel.stacked:
        custom["stacking"] = {"mode": "normal"}
        custom["fillOpacity"] = 40
    defaults: dict[str, Any] = {"unit": panel.unit, "custom": custom, "min": 0}
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "gridPos": position,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend or "__auto",
                "instant": panel.kind != "timeseries",
                "range": panel.kind == "timeseries",
            }
            for number, (expression, legend) in enumerate(panel.shows)
        ],
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}}
    text = "name" if panel.title == "Rollout" else "auto"
    return {"textMode": text, "reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}


def rendered() -> str:
    """The text of the file."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered())

"""Makes the dashboard: ``python -m deploy.grafana.board`` writes ``dashboards/driftline.json``.

The layout is the one users know from progressive delivery: the arms beside each other on top
(requests, errors, latency), then what led to the change (drift, retrain) and totals below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "driftline.json"
_SOURCE = {"type": "prometheus", "uid": "${source}"}
_WIDTH = 24
_MODEL = 'model=~"$model"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture: expressions with their legends."""

    title: str
    shows: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    help: str = ""
    limit: float | None = None
    """Drawn as a red line."""
    stacked: bool = False


def _one(title: str, expression: str, **more: Any) -> Panel:
    return Panel(title=title, shows=((expression, ""),), kind="stat", **more)


ROWS: tuple[tuple[str, int, tuple[Panel, ...]], ...] = (
    (
        "Now",
        4,
        (
            _one("Live version", f"driftline_live_version{{{_MODEL}}}", unit="none"),
            _one(
                "Canary's share",
                f"driftline_canary_weight_ratio{{{_MODEL}}}",
                unit="percentunit",
            ),
            Panel(
                title="Rollout",
                shows=((f"driftline_rollout_phase{{{_MODEL}}} == 1", "{{phase}}"),),
                kind="stat",
                help="The phase the rollout is in.",
            ),
            _one("Retrain in flight", f"driftline_retrain_running{{{_MODEL}}}", unit="bool_yes_no"),
            _one("Approval waits", f"driftline_approval_waiting{{{_MODEL}}}", unit="bool_yes_no"),
            _one(
                "Last window ended",
                f"time() - driftline_window_end_seconds{{{_MODEL}}}",
                unit="s",
                help="A growing number is a watermark that stands still.",
            ),
        ),
    ),
    (
        "Stable, control and canary",
        8,
        (
            Panel(
                title="Requests",
                shows=(('role:requests:rate1m{role=~"stable|control|canary"}', "{{role}}"),),
                unit="reqps",
                stacked=True,
            ),
            Panel(
                title="Errors that clients saw",
                shows=(
                    (
                        'role:errors:rate1m{role=~"stable|control|canary"} / role:requests:rate1m',
                        "{{role}}",
                    ),
                ),
                unit="percentunit",
                limit=0.005,
            ),
            Panel(
                title="Latency",
                shows=(
                    ('role:latency_ms:p99_1m{role=~"stable|control|canary"}', "{{role}} p99"),
                    ('role:latency_ms:p50_1m{role=~"stable|control|canary"}', "{{role}} p50"),
                ),
                unit="ms",
                limit=200,
            ),
        ),
    ),
    (
        "The rollout",
        7,
        (
            Panel(
                title="Canary's share of the traffic",
                shows=((f"driftline_canary_weight_ratio{{{_MODEL}}}", "{{model}}"),),
                unit="percentunit",
            ),
            Panel(
                title="Canary verdicts in a minute",
                shows=(
                    (
                        "sum by (outcome) "
                        f"(increase(driftline_canary_verdicts_total{{{_MODEL}}}[1m]))",
                        "{{outcome}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Answered by another server",
                shows=(
                    ("role:unanswered:rate1m", "{{role}}"),
                    (
                        "sum by (role) (rate(envoy_cluster_upstream_rq_retry[1m]))",
                        "{{role}} retries",
                    ),
                ),
                unit="reqps",
                help="Failures that retries hid from the clients.",
            ),
            Panel(
                title="Model run time (p99, TF Serving)",
                shows=(
                    (
                        "histogram_quantile(0.99, sum by (role, le) "
                        "(rate(:tensorflow:serving:runtime_latency_bucket[1m])))",
                        "{{role}}",
                    ),
                ),
                unit="µs",
            ),
        ),
    ),
    (
        "Drift",
        9,
        (
            Panel(
                title="Effect against the reference, by feature",
                shows=((f"driftline_drift_effect_sd{{{_MODEL}}}", "{{feature}}"),),
                help="In standard deviations; a sustained effect above the line is drift.",
                limit=0.5,
            ),
            Panel(
                title="Windows in a minute, by verdict",
                shows=(
                    (
                        f"sum by (outcome) (increase(driftline_windows_total{{{_MODEL}}}[1m]))",
                        "{{outcome}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Rows of a window",
                shows=((f"driftline_window_rows{{{_MODEL}}}", "{{model}}"),),
            ),
        ),
    ),
    (
        "Drift, feature by feature",
        9,
        (
            Panel(
                title="Effect over its limit",
                shows=(
                    (
                        f"driftline_drift_effect_sd{{{_MODEL}}} / driftline_drift_limit_sd",
                        "{{feature}}",
                    ),
                ),
                help="1 is the effect that counts as a hit in this window.",
                limit=1.0,
            ),
            Panel(
                title="Evidence: p under its limit, in powers of ten",
                shows=(
                    (
                        f"-log10(clamp_min(driftline_drift_p_over_limit_ratio{{{_MODEL}}}, 1e-30))",
                        "{{feature}}",
                    ),
                ),
                help="Above 0 a test is significant; an alarm needs an effect and hits as well.",
            ),
            Panel(
                title="Hits in the last windows",
                shows=((f"driftline_drift_hits{{{_MODEL}}} > 0", "{{feature}}"),),
            ),
        ),
    ),
    (
        "Drift, distances and outcomes",
        8,
        (
            Panel(
                title="Familiar distances, less what chance gives (largest ten)",
                shows=(
                    (
                        f"topk(10, driftline_drift_distance{{{_MODEL}}})",
                        "{{feature}} {{distance}}",
                    ),
                ),
                help="PSI, Jensen-Shannon, L-infinity, Kolmogorov-Smirnov, Wasserstein: shown, "
                "never judged.",
            ),
            Panel(
                title="Features by verdict",
                shows=(
                    (f"count(driftline_drift_outcome{{{_MODEL}}} == 2) or vector(0)", "drifted"),
                    (f"count(driftline_drift_outcome{{{_MODEL}}} == 1) or vector(0)", "suspected"),
                    (
                        f"count(driftline_drift_outcome{{{_MODEL}}} == -1) or vector(0)",
                        "inconclusive",
                    ),
                    (f"sum(driftline_drift_features_capped{{{_MODEL}}})", "without series"),
                ),
                help="Features beyond drift.exported_features have no series of their own.",
            ),
        ),
    ),
    (
        "Quality of the predictions",
        8,
        (
            Panel(
                title="AUC of the live version",
                shows=(
                    (f'driftline_quality_value_ratio{{{_MODEL},metric="auc"}}', "{{kind}}"),
                    (f'driftline_quality_limit_ratio{{{_MODEL},metric="auc"}}', "limit"),
                ),
                help="Realised on mature labels; estimates are blind to concept drift.",
            ),
            Panel(
                title="Looks at the labels in a minute, by verdict",
                shows=(
                    (
                        "sum by (outcome, cause) "
                        f"(increase(driftline_quality_verdicts_total{{{_MODEL}}}[1m]))",
                        "{{outcome}} {{cause}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Waiting labels and predictions; seconds until labels are mature",
                shows=(
                    (f"driftline_keys_waiting{{{_MODEL}}}", "{{what}}s waiting"),
                    (f"driftline_labels_mature_seconds{{{_MODEL}}}", "mature after"),
                ),
            ),
            Panel(
                title="Scores against the version's first ones (sd)",
                shows=((f"driftline_prediction_drift_sd{{{_MODEL}}}", "scores"),),
                limit=0.5,
            ),
        ),
    ),
    (
        "The stream",
        7,
        (
            Panel(
                title="Events in a second",
                shows=(
                    (
                        f"sum(rate(driftline_events_accepted_total{{{_MODEL}}}[1m]))",
                        "accepted",
                    ),
                    (f"sum(rate(driftline_events_dead_total{{{_MODEL}}}[1m]))", "dead letters"),
                    (f"sum(rate(driftline_events_late_total{{{_MODEL}}}[1m]))", "late"),
                ),
            ),
            Panel(
                title="From the end of a window to its verdict",
                shows=tuple(
                    (
                        f"histogram_quantile({q}, sum by (le) "
                        f"(rate(driftline_verdict_delay_seconds_bucket{{{_MODEL}}}[5m])))",
                        f"p{round(q * 100)}",
                    )
                    for q in (0.5, 0.99)
                ),
                unit="s",
            ),
            Panel(
                title="Records refused",
                shows=(
                    # No series exists before the first refusal; the panel then shows 0.
                    (
                        "sum by (topic, reason) (driftline_records_refused_total) or vector(0)",
                        "{{topic}} {{reason}}",
                    ),
                ),
                help="Empty when every part could read everything.",
            ),
        ),
    ),
    (
        "Retrain",
        7,
        (
            Panel(
                title="Retrains by outcome",
                shows=(
                    (
                        f"sum by (outcome) (driftline_retrains_total{{{_MODEL}}})",
                        "{{outcome}}",
                    ),
                ),
            ),
            Panel(
                title="Latest retrain, by component",
                shows=((f"driftline_retrain_component_seconds{{{_MODEL}}}", "{{component}}"),),
                unit="s",
                kind="bargauge",
            ),
            Panel(
                title="Daemon's tick",
                shows=(
                    (
                        "histogram_quantile(0.99, sum by (le) "
                        "(rate(driftline_tick_seconds_bucket[5m])))",
                        "p99",
                    ),
                ),
                unit="s",
            ),
        ),
    ),
    (
        "Totals",
        4,
        (
            _one("Events read", f"sum(driftline_events_read_total{{{_MODEL}}})"),
            _one("Accepted", f"sum(driftline_events_accepted_total{{{_MODEL}}})"),
            _one("Dead letters", f"sum(driftline_events_dead_total{{{_MODEL}}})"),
            _one("Late", f"sum(driftline_events_late_total{{{_MODEL}}})"),
            _one("Windows", f"sum(driftline_windows_total{{{_MODEL}}})"),
            _one("Predictions", "sum(:tensorflow:serving:request_count)"),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, height, row in ROWS:
        place = {"h": 1, "w": _WIDTH, "x": 0, "y": top}
        panels.append({"type": "row", "title": title, "gridPos": place, "panels": []})
        width = _WIDTH // len(row)
        for number, panel in enumerate(row):
            place = {"h": height, "w": width, "x": number * width, "y": top + 1}
            panels.append(_panel(panel, place))
        top += height + 1
    for number, one in enumerate(panels, start=1):
        one["id"] = number
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
        "expr": f"changes(driftline_live_version{{{_MODEL}}}[1m]) > 0",
        "titleFormat": "A version went live",
        "step": "60s",
    }


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
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
        "gridPos": place,
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
    """The file's text."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(rendered())

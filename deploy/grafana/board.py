"""Generates the dashboards: ``python -m deploy.grafana.board`` writes `dashboards/`.

They are made with Grafana's own builders (grafana-foundation-sdk), so the keys are those of its
schema; a test validates the files against that schema too. The SDK is needed here only: the files
are committed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.boards import BOARDS, Board
from deploy.grafana.files import FOLDER
from deploy.grafana.panel import Panel

CONSOLE = "http://127.0.0.1:8580"
"""Default of the variable `console`, the address that panels link to."""
_WIDTH = 24
_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${source}")


def built(board: Board) -> Any:
    """A dashboard in Grafana's model."""
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["driftline"])
        .readonly()
        .refresh("5s")
        .time("now-30m", "now")
        .timezone("browser")
        .link(
            dashboard.DashboardLink("Dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["driftline"])
            .include_vars(True)
            .keep_time(True)
        )
        .link(
            dashboard.DashboardLink("Console")
            .type(models.DashboardLinkType.LINK)
            .url(f"${{console}}{board.page}")
        )
    )
    for variable in _variables():
        builder = builder.with_variable(variable)
    for title, height, row in board.content:
        builder = builder.with_row(dashboard.Row(title).collapsed(False))
        for panel in row:
            builder = builder.with_panel(_panel(panel, height, _WIDTH // len(row), board))
    result = builder.build()
    for number, entry in enumerate(result.panels or [], start=1):
        entry.id_val = number
    return result


def _variables() -> list[Any]:
    return [
        dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"),
        dashboard.QueryVariable("model")
        .label("Model")
        .datasource(_SOURCE)
        .query({"query": "label_values(driftline_setting, model)", "refId": "models"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .multi(True)
        .current(models.VariableOption(text="All", value="$__all", selected=True)),
        dashboard.TextBoxVariable("console").label("Console").default_value(CONSOLE),
    ]


def _panel(panel: Panel, height: int, width: int, board: Board) -> Any:
    kinds: dict[str, Any] = {
        "timeseries": timeseries.Panel,
        "stat": stat.Panel,
        "bargauge": bargauge.Panel,
    }
    builder = (
        kinds[panel.kind]()
        .title(panel.title)
        .description(panel.help)
        .height(height)
        .span(width)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .min(0)
        .thresholds(_thresholds(panel))
        .links([dashboard.DashboardLink("Console").url(f"${{console}}{board.page}")])
    )
    builder = _look(builder, panel)
    for number, (expression, legend) in enumerate(panel.shows):
        query = prometheus.Dataquery().expr(expression).legend_format(legend or "__auto")
        query = query.range() if panel.kind == "timeseries" else query.instant()
        builder = builder.with_target(query.ref_id(chr(ord("A") + number)).datasource(_SOURCE))
    return builder


def _thresholds(panel: Panel) -> Any:
    steps = [models.Threshold(color="green")]
    if panel.limit is not None:
        steps.append(models.Threshold(value=panel.limit, color="red"))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _look(builder: Any, panel: Panel) -> Any:
    if panel.kind != "timeseries":
        values = common.ReduceDataOptions().calcs(["lastNotNull"])
        builder = builder.reduce_options(values)
        if panel.kind == "stat" and panel.title == "Rollout":
            builder = builder.text_mode(common_models.BigValueTextMode.NAME)
        return builder
    legend = (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    builder = builder.legend(legend)
    if panel.stacked:
        stacking = common.StackingConfig().mode(common_models.StackingMode.NORMAL)
        builder = builder.stacking(stacking).fill_opacity(40)
    if panel.limit is not None:
        line = common_models.GraphTresholdsStyleMode.LINE
        builder = builder.thresholds_style(common.GraphThresholdsStyleConfig().mode(line))
    return builder


def rendered(board: Board) -> str:
    """The text of a dashboard's file."""
    content = json.loads(JSONEncoder().encode(built(board)))
    # The builders write keys of Grafana 10.1 that its present schema no longer has.
    content.pop("style", None)
    for variable in content["templating"]["list"]:
        for key in ("auto", "auto_count", "auto_min", "id"):
            variable.pop(key, None)
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(folder: Path = FOLDER) -> None:
    """Write every dashboard's file."""
    for board in BOARDS:
        (folder / f"{board.uid}.json").write_text(rendered(board))


if __name__ == "__main__":
    write()

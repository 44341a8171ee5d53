"""The dashboards: which rows each shows. Subjects have pages of their own, so that none is long."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.grafana.cost_rows import COST_ROWS
from deploy.grafana.drift_rows import DRIFT_ROWS
from deploy.grafana.panel import Row
from deploy.grafana.rows import ROWS
from deploy.grafana.schema_rows import SCHEMA_ROWS
from deploy.grafana.stream_rows import STREAM_ROWS

_BY_TITLE = {row[0]: row for row in (*ROWS, *DRIFT_ROWS, *SCHEMA_ROWS, *STREAM_ROWS, *COST_ROWS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One dashboard."""

    uid: str
    title: str
    about: str
    page: str
    """Path of the console's page on the same subject; may use ``${model}``."""
    rows: tuple[str, ...]
    """Titles of its rows."""

    @property
    def content(self) -> tuple[Row, ...]:
        """Its rows."""
        return tuple(_BY_TITLE[title] for title in self.rows)


_MODEL = "/models/${model}"
BOARDS = (
    Board(
        uid="driftline",
        title="Driftline",
        about="What is live, what is being rolled out, and what it has come to.",
        page="/",
        rows=("Now", "Versions over time", "Totals"),
    ),
    Board(
        uid="driftline-stream",
        title="Driftline: stream health",
        about="Events, windows, stream jobs, checkpoints, Kafka and the processes.",
        page="/",
        rows=("The stream", "Stream jobs", "Kafka and processes"),
    ),
    Board(
        uid="driftline-drift",
        title="Driftline: drift",
        about="Drift by feature against its limit, distances, outcomes, and the schema.",
        page=_MODEL,
        rows=("Drift", "Drift, feature by feature", "Drift, distances and outcomes", "Schema"),
    ),
    Board(
        uid="driftline-retrain",
        title="Driftline: retrain",
        about="Retrains, what they take, and the budget that is left.",
        page=_MODEL,
        rows=("Retrain", "Budget of retrains"),
    ),
    Board(
        uid="driftline-canary",
        title="Driftline: canary against control",
        about="Rate, errors and duration of the arms side by side, and the gates' verdicts.",
        page=_MODEL,
        rows=("Stable, control and canary", "The rollout"),
    ),
    Board(
        uid="driftline-serving",
        title="Driftline: serving",
        about="Health of the model servers, and the work that they do.",
        page=_MODEL,
        rows=("Model servers",),
    ),
    Board(
        uid="driftline-quality",
        title="Driftline: quality",
        about="Realised and estimated quality of the live version.",
        page=_MODEL,
        rows=("Quality of the predictions",),
    ),
    Board(
        uid="driftline-cost",
        title="Driftline: cost",
        about="Processor time and memory by process, and what is stored.",
        page="/settings",
        rows=("Processor and memory", "Sizes"),
    ),
)

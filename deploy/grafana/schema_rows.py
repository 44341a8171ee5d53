"""The row of the schema: what windows say against it, and what awaits a decision."""

from __future__ import annotations

from deploy.grafana.panel import MODEL, Panel, Row, one

SCHEMA_ROWS: tuple[Row, ...] = (
    (
        "Schema",
        7,
        (
            Panel(
                title="Columns that disagree with the schema",
                shows=(
                    (
                        f"sum by (kind, outcome) (driftline_schema_findings{{{MODEL}}})",
                        "{{kind}} {{outcome}}",
                    ),
                ),
                help="`driftline schema check` names them.",
            ),
            Panel(
                title="Windows in a minute, by verdict on the schema",
                shows=(
                    (
                        "sum by (outcome) "
                        f"(increase(driftline_schema_windows_total{{{MODEL}}}[1m]))",
                        "{{outcome}}",
                    ),
                ),
                stacked=True,
            ),
            one("Schema version", f"driftline_schema_version{{{MODEL}}}", unit="none"),
            one(
                "Schema proposal waits",
                f"driftline_schema_proposal_open{{{MODEL}}}",
                unit="bool_yes_no",
            ),
        ),
    ),
)

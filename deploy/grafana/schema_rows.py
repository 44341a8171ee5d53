"""The schema row: findings of schema validation, and proposals that await a decision."""

from __future__ import annotations

from deploy.grafana.panel import MODEL, Panel, Row, stat

SCHEMA_ROWS: tuple[Row, ...] = (
    (
        "Schema",
        7,
        (
            Panel(
                title="Columns that violate the schema",
                shows=(
                    (
                        f"sum by (kind, outcome) (driftline_schema_findings{{{MODEL}}})",
                        "{{kind}} {{outcome}}",
                    ),
                ),
                help="`driftline schema check` names them.",
            ),
            Panel(
                title="Windows per minute, by schema verdict",
                help="Windows validated against the schema in force.",
                shows=(
                    (
                        "sum by (outcome) "
                        f"(increase(driftline_schema_windows_total{{{MODEL}}}[1m]))",
                        "{{outcome}}",
                    ),
                ),
                stacked=True,
            ),
            stat(
                "Schema version",
                f"driftline_schema_version{{{MODEL}}}",
                unit="none",
                help="The version that the newest window was validated against; 0 is "
                "the model's file.",
            ),
            stat(
                "Schema proposal awaits a decision",
                f"driftline_schema_proposal_open{{{MODEL}}}",
                unit="bool_yes_no",
                help="Whether an engineer is asked to accept or reject a change of the schema.",
            ),
        ),
    ),
)

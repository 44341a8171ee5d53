"""The rows of the dashboard, from the live version to the totals."""

from __future__ import annotations

from deploy.grafana.panel import MODEL, Panel, Row, stat

_ARMS = f'{MODEL},role=~"stable|control|canary"'
_ARM = "{{model}} {{role}}"

ROWS: tuple[Row, ...] = (
    (
        "Now",
        4,
        (
            stat(
                "Live version",
                f"driftline_live_version{{{MODEL}}}",
                unit="none",
                help="The version that answers all requests without a rollout.",
            ),
            stat(
                "Canary's share",
                f"driftline_canary_weight_ratio{{{MODEL}}}",
                unit="percentunit",
                help="Share of the requests that the version in rollout answers, as "
                "Envoy has it in force.",
            ),
            Panel(
                title="Rollout",
                shows=((f"driftline_rollout_phase{{{MODEL}}} == 1", "{{phase}}"),),
                kind="stat",
                help="The phase the rollout is in.",
            ),
            stat(
                "Retrain in flight",
                f"driftline_retrain_running{{{MODEL}}}",
                unit="bool_yes_no",
                help="Whether a retrain was requested and has not ended.",
            ),
            stat(
                "Awaiting approval",
                f"driftline_approval_waiting{{{MODEL}}}",
                unit="bool_yes_no",
                help="Whether people are asked to let a version on.",
            ),
            stat(
                "Last window ended",
                f"time() - driftline_window_end_seconds{{{MODEL}}}",
                unit="s",
                help="A growing number means that the watermark does not advance.",
            ),
        ),
    ),
    (
        "Stable, control and canary",
        8,
        (
            Panel(
                title="Requests",
                help="Rate: requests per second that clients sent to each arm; a "
                "retry is not counted again.",
                shows=((f"role:requests:rate1m{{{_ARMS}}}", _ARM),),
                unit="reqps",
                stacked=True,
            ),
            Panel(
                title="Errors of client requests",
                help="Errors: share of the requests of each arm that clients saw "
                "fail, against the limit of the gates.",
                shows=((f"role:errors:rate1m{{{_ARMS}}} / role:requests:rate1m", _ARM),),
                unit="percentunit",
                limit=0.005,
            ),
            Panel(
                title="Latency",
                help="Duration: p99 and p50 of each arm as clients see it, with retries.",
                shows=(
                    (f"role:latency_ms:p99_1m{{{_ARMS}}}", f"{_ARM} p99"),
                    (f"role:latency_ms:p50_1m{{{_ARMS}}}", f"{_ARM} p50"),
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
                help="The steps of the rollout as Envoy has them in force.",
                shows=((f"driftline_canary_weight_ratio{{{MODEL}}}", "{{model}}"),),
                unit="percentunit",
            ),
            Panel(
                title="Canary verdicts in a minute",
                help="Verdicts of the gates; insufficient and error never promote.",
                shows=(
                    (
                        "sum by (outcome) "
                        f"(increase(driftline_canary_verdicts_total{{{MODEL}}}[1m]))",
                        "{{outcome}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Requests retried on another server",
                shows=(
                    (f"role:unanswered:rate1m{{{MODEL}}}", _ARM),
                    (
                        "sum by (model, role) "
                        f"(rate(envoy_cluster_upstream_rq_retry{{{MODEL}}}[1m]))",
                        f"{_ARM} retries",
                    ),
                ),
                unit="reqps",
                help="Failures that clients did not see because of retries.",
            ),
            Panel(
                title="Model run time (p99, TF Serving)",
                help="Time within the model server, without network and retries.",
                shows=(
                    (
                        "histogram_quantile(0.99, sum by (model, role, le) "
                        f"(rate(:tensorflow:serving:runtime_latency_bucket{{{MODEL}}}[1m])))",
                        _ARM,
                    ),
                ),
                unit="µs",
            ),
        ),
    ),
    (
        "The stream",
        7,
        (
            Panel(
                title="Events in a second",
                help="Events of judged windows by what became of them.",
                shows=(
                    (
                        f"sum(rate(driftline_events_accepted_total{{{MODEL}}}[1m]))",
                        "accepted",
                    ),
                    (f"sum(rate(driftline_events_dead_total{{{MODEL}}}[1m]))", "dead letters"),
                    (f"sum(rate(driftline_events_late_total{{{MODEL}}}[1m]))", "late"),
                ),
            ),
            Panel(
                title="From the end of a window to its verdict",
                help="How late verdicts are; max_out_of_orderness is part of it.",
                shows=tuple(
                    (
                        f"histogram_quantile({q}, sum by (le) "
                        f"(rate(driftline_verdict_delay_seconds_bucket{{{MODEL}}}[5m])))",
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
                help="0 while every record could be read.",
            ),
        ),
    ),
    (
        "Retrain",
        7,
        (
            Panel(
                title="Retrains by outcome",
                help="Counted since the daemon started.",
                shows=(
                    (
                        f"sum by (outcome) (driftline_retrains_total{{{MODEL}}})",
                        "{{outcome}}",
                    ),
                ),
            ),
            Panel(
                title="Latest retrain, by component",
                help="Where the time of the newest retrain went.",
                shows=((f"driftline_retrain_component_seconds{{{MODEL}}}", "{{component}}"),),
                unit="s",
                kind="bargauge",
            ),
            Panel(
                title="Daemon's tick",
                help="A slow step delays the judgement of canaries.",
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
            stat(
                "Events read",
                f"sum(driftline_events_read_total{{{MODEL}}})",
                help="Offsets of the events topic in judged windows, since the daemon started.",
            ),
            stat(
                "Accepted",
                f"sum(driftline_events_accepted_total{{{MODEL}}})",
                help="Events that were counted in a window.",
            ),
            stat(
                "Dead letters",
                f"sum(driftline_events_dead_total{{{MODEL}}})",
                help="Events that could not be used; `driftline dead-letters list` "
                "has the reasons.",
            ),
            stat(
                "Late",
                f"sum(driftline_events_late_total{{{MODEL}}})",
                help="Events that came after their window had closed.",
            ),
            stat(
                "Windows",
                f"sum(driftline_windows_total{{{MODEL}}})",
                help="Judged windows since the daemon started.",
            ),
            stat(
                "Predictions",  # request_count counts health checks too
                'sum(:tensorflow:serving:request_latency_count{API=~"[Pp]redict"})',
                help="Prediction requests that model servers have answered.",
            ),
        ),
    ),
)

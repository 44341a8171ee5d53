"""The rows of drift, by window and by feature, and of the predictions' quality."""

from __future__ import annotations

from deploy.grafana.panel import MODEL, Panel, Row
from streaming.contracts.quality_measures import HEADLINES

_HEADLINES = "|".join(HEADLINES)

DRIFT_ROWS: tuple[Row, ...] = (
    (
        "Drift",
        9,
        (
            Panel(
                title="Effect against the reference, by feature",
                shows=((f"driftline_drift_effect_sd{{{MODEL}}}", "{{feature}}"),),
                help="In standard deviations; a sustained effect above the line is drift.",
                limit=0.5,
            ),
            Panel(
                title="Windows per minute, by verdict",
                help="Judged windows; inconclusive ones had too few rows or lost too many events.",
                shows=(
                    (
                        f"sum by (outcome) (increase(driftline_windows_total{{{MODEL}}}[1m]))",
                        "{{outcome}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Rows per window",
                help="Events that were counted in the newest window.",
                shows=((f"driftline_window_rows{{{MODEL}}}", "{{model}}"),),
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
                        f"driftline_drift_effect_sd{{{MODEL}}} / driftline_drift_limit_sd",
                        "{{feature}}",
                    ),
                ),
                help="1 is the effect that counts as a hit in this window.",
                limit=1.0,
            ),
            Panel(
                title="Evidence: limit of p over p, in powers of ten",
                shows=(
                    (
                        f"-log10(clamp_min(driftline_drift_p_over_limit_ratio{{{MODEL}}}, 1e-30))",
                        "{{feature}}",
                    ),
                ),
                help="Above 0 a test is significant; an alarm needs an effect and hits as well.",
            ),
            Panel(
                title="Hits in the last windows",
                help="How many of the last windows exceeded the limit; a runs rule "
                "asks for several.",
                shows=((f"driftline_drift_hits{{{MODEL}}}", "{{feature}}"),),
            ),
        ),
    ),
    (
        "Drift, distances and outcomes",
        8,
        (
            Panel(
                title="Drift distances, bias-corrected (largest ten)",
                shows=(
                    (
                        f"topk(10, driftline_drift_distance{{{MODEL}}})",
                        "{{feature}} {{distance}}",
                    ),
                ),
                help="PSI, Jensen-Shannon, L-infinity, Kolmogorov-Smirnov, Wasserstein: shown, "
                "never judged.",
            ),
            Panel(
                title="Features by verdict",
                shows=(
                    (f"count(driftline_drift_outcome{{{MODEL}}} == 2) or vector(0)", "drifted"),
                    (f"count(driftline_drift_outcome{{{MODEL}}} == 1) or vector(0)", "suspected"),
                    (
                        f"count(driftline_drift_outcome{{{MODEL}}} == -1) or vector(0)",
                        "inconclusive",
                    ),
                    (f"sum(driftline_drift_features_capped{{{MODEL}}})", "without series"),
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
                title="AUC, macro F1 or error of the live version",
                shows=(
                    (
                        f'driftline_quality_value_ratio{{{MODEL},metric=~"{_HEADLINES}"}}',
                        "{{metric}} {{kind}}",
                    ),
                    (
                        f'driftline_quality_limit_ratio{{{MODEL},metric=~"{_HEADLINES}"}}',
                        "limit of {{metric}}",
                    ),
                ),
                help="Realised on mature labels; estimates are blind to concept drift. Errors are "
                "in the unit of the label.",
            ),
            Panel(
                title="Quality verdicts per minute",
                help="Batches with mature labels by outcome; the cause of a loss stands beside it.",
                shows=(
                    (
                        "sum by (outcome, cause) "
                        f"(increase(driftline_quality_verdicts_total{{{MODEL}}}[1m]))",
                        "{{outcome}} {{cause}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Unjoined labels and predictions; seconds until labels are mature",
                help="A growing number means that keys do not fit or one of the two has stopped.",
                shows=(
                    (f"driftline_keys_waiting{{{MODEL}}}", "{{kind}}s waiting"),
                    (f"driftline_labels_mature_seconds{{{MODEL}}}", "mature after"),
                ),
            ),
            Panel(
                title="Prediction drift: scores against the version's first ones (sd)",
                help="Moves before labels arrive; it does not tell whether predictions are worse.",
                shows=((f"driftline_prediction_drift_sd{{{MODEL}}}", "scores"),),
                limit=0.5,
            ),
        ),
    ),
)

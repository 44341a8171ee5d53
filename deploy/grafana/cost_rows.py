"""The rows of cost: processor time and memory by process, and sizes."""

from __future__ import annotations

from deploy.grafana.panel import MODEL, Panel, Row

COST_ROWS: tuple[Row, ...] = (
    (
        "Processor and memory",
        9,
        (
            Panel(
                title="Processor cores in use, by process",
                shows=(
                    (
                        "sum by (job, role) (rate(process_cpu_seconds_total[1m]))",
                        "{{job}} {{role}}",
                    ),
                ),
                unit="short",
                stacked=True,
                help="1 is one core. Flink, Kafka and Envoy do not export it.",
            ),
            Panel(
                title="Memory in use, by process",
                shows=(
                    ("sum by (job, role) (process_resident_memory_bytes)", "{{job}} {{role}}"),
                    (
                        "sum(flink_taskmanager_Status_JVM_Memory_Heap_Used) or vector(0)",
                        "heap of Flink's TaskManager",
                    ),
                ),
                unit="bytes",
                stacked=True,
                help="Resident memory; of Flink the used heap.",
            ),
        ),
    ),
    (
        "Sizes",
        7,
        (
            Panel(
                title="Size of the newest checkpoint",
                shows=(
                    (
                        "max(flink_jobmanager_job_lastCheckpointSize) or vector(0)",
                        "bytes",
                    ),
                ),
                unit="bytes",
                help="State of the stream job that a restart reads back.",
            ),
            Panel(
                title="Processor time of retrains",
                shows=(
                    (
                        f"sum by (model) (driftline_retrain_component_seconds{{{MODEL}}}) or "
                        f"vector(0)",
                        "{{model}} newest retrain",
                    ),
                ),
                unit="s",
                help="Duration of all components of the newest retrain.",
            ),
            Panel(
                title="Events for each second of the daemon's processor",
                shows=(
                    (
                        "sum(rate(driftline_events_read_total[5m])) / "
                        "sum(rate(process_cpu_seconds_total"
                        '{job="daemon"}[5m]))',
                        "events",
                    ),
                ),
                help="Falls when the daemon works for something else than verdicts.",
            ),
        ),
    ),
)

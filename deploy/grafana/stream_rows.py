"""The rows of stream jobs, of Kafka and processes, of servers, and of versions over time."""

from __future__ import annotations

from deploy.grafana.panel import MODEL, Panel, Row

_ALL = "or vector(0)"

STREAM_ROWS: tuple[Row, ...] = (
    (
        "Versions over time",
        8,
        (
            Panel(
                title="Versions, live and in rollout",
                shows=(
                    (f"driftline_live_version{{{MODEL}}}", "{{model}} live"),
                    (
                        f"driftline_rollout_version{{{MODEL}}} or "
                        f"driftline_live_version{{{MODEL}}} * 0",
                        "{{model}} in rollout",
                    ),
                ),
                unit="none",
                help="A step up is a promotion, a step down a rollback.",
            ),
            Panel(
                title="Rollbacks and approvals",
                shows=(
                    (f"sum(driftline_rollbacks_total{{{MODEL}}}) {_ALL}", "rolled back"),
                    (
                        f"sum by (outcome) (driftline_approvals_total{{{MODEL}}}) {_ALL}",
                        "{{outcome}}",
                    ),
                ),
                help="Counted since the daemon started.",
            ),
        ),
    ),
    (
        "Stream jobs",
        8,
        (
            Panel(
                title="Stream jobs that run",
                shows=(
                    ("driftline_stream_job_running", "{{group}} runs"),
                    ("driftline_stream_job_expected", "{{group}} should run"),
                ),
                help="A job that should run and does not is submitted again within a minute.",
            ),
            Panel(
                title="Age of the newest checkpoint",
                shows=(("time() - driftline_stream_job_checkpoint_seconds", "{{group}}"),),
                unit="s",
                limit=120,
                help="After a failure the job goes back to this checkpoint.",
            ),
            Panel(
                title="Checkpoints in five minutes",
                shows=(
                    (
                        f"sum(increase(flink_jobmanager_job_numberOfCompletedCheckpoints[5m])) "
                        f"{_ALL}",
                        "completed",
                    ),
                    (
                        f"sum(increase(flink_jobmanager_job_numberOfFailedCheckpoints[5m])) {_ALL}",
                        "failed",
                    ),
                    (f"sum(increase(flink_jobmanager_job_numRestarts[5m])) {_ALL}", "restarts"),
                ),
                help="Three failed ones within ten minutes page.",
            ),
            Panel(
                title="Busy and back-pressured tasks",
                shows=(
                    (
                        f"max(flink_taskmanager_job_task_busyTimeMsPerSecond) / 1000 {_ALL}",
                        "busiest task",
                    ),
                    (
                        "max(flink_taskmanager_job_task_backPressuredTimeMsPerSecond) / 1000 "
                        f"{_ALL}",
                        "most held back",
                    ),
                ),
                unit="percentunit",
                help="A task that is busy all the time limits the job; those before "
                "it are held back.",
            ),
        ),
    ),
    (
        "Kafka and processes",
        8,
        (
            Panel(
                title="Partitions that are offline or lack a copy",
                shows=(
                    ("driftline_kafka_partitions_offline", "offline"),
                    ("driftline_kafka_partitions_under_replicated", "lack a copy"),
                ),
                limit=1,
                help="Nobody can read or write a partition that is offline.",
            ),
            Panel(
                title="Processes that answer",
                shows=(("driftline_process_answers", "{{process}}"),),
                help="1 while a process answers in its own protocol.",
            ),
            Panel(
                title="Since the last step of each loop",
                shows=(("time() - driftline_progress_seconds", "{{process}}"),),
                unit="s",
                limit=120,
                help="A process may answer while its loop stands still.",
            ),
            Panel(
                title="Notifications in an hour",
                shows=(
                    (
                        "sum by (channel, outcome) (increase(driftline_notifications_total[1h]))",
                        "{{channel}} {{outcome}}",
                    ),
                ),
                help="Alerts that were brought to Slack, webhooks or the local receiver.",
            ),
        ),
    ),
    (
        "Budget of retrains",
        7,
        (
            Panel(
                title="Retrains that may still start",
                shows=(
                    (f"driftline_retrain_budget_left{{{MODEL}}}", "{{model}} left"),
                    (
                        f'driftline_setting{{{MODEL},setting="retrain_budget_runs"}}',
                        "{{model}} allowed in the period",
                    ),
                ),
                unit="none",
                help="At 0 the next shift waits until the oldest retrain is out of the period.",
            ),
            Panel(
                title="Time that the retrain in flight has left",
                shows=(
                    (
                        f"(driftline_retrain_deadline_seconds{{{MODEL}}} > 0) - time() "
                        f"or driftline_retrain_deadline_seconds{{{MODEL}}}",
                        "{{model}}",
                    ),
                ),
                unit="s",
                help="0 without a retrain. Below 0 it counts as failed.",
            ),
        ),
    ),
    (
        "Model servers",
        8,
        (
            Panel(
                title="Healthy servers, as Envoy sees them",
                shows=(
                    (
                        f"sum by (model, role) (envoy_cluster_membership_healthy{{{MODEL}}})",
                        "{{model}} {{role}}",
                    ),
                ),
                unit="none",
                help="REST and gRPC count apart. Control and canary are empty without a rollout.",
            ),
            Panel(
                title="Predictions answered by each server",
                shows=(
                    (
                        "sum by (model, role) (rate(:tensorflow:serving:request_latency_count"
                        f'{{{MODEL},API=~"[Pp]redict"}}[1m]))',
                        "{{model}} {{role}}",
                    ),
                ),
                unit="reqps",
                help="Copies of the traffic for a shadow are counted too.",
            ),
            Panel(
                title="Time to load a version",
                shows=(
                    (
                        f"max by (model, role) "
                        f"(:tensorflow:cc:saved_model:load_latency{{{MODEL}}}) "
                        "/ 1e6",
                        "{{model}} {{role}}",
                    ),
                ),
                unit="s",
                help="From the request to load until the version answers.",
            ),
        ),
    ),
)

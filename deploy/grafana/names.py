"""Metrics of other programs that rules and dashboards may use; Driftline's own are in `METRICS`.

The tests reject a name outside these lists, because a misspelt name in a rule matches no series and
gives no error.
"""

from __future__ import annotations

import re

from streaming.contracts.metrics import METRICS

ENVOY = frozenset(
    {
        "envoy_cluster_endpoint_rq_success",
        "envoy_cluster_membership_healthy",
        "envoy_cluster_upstream_rq_completed",
        "envoy_cluster_upstream_rq_retry",
        "envoy_cluster_upstream_rq_time",
        "envoy_cluster_upstream_rq_xx",
        "envoy_server_uptime",
    }
)
FLINK = frozenset(
    {
        "flink_jobmanager_job_lastCheckpointDuration",
        "flink_jobmanager_job_lastCheckpointSize",
        "flink_jobmanager_job_numRestarts",
        "flink_jobmanager_job_numberOfCompletedCheckpoints",
        "flink_jobmanager_job_numberOfFailedCheckpoints",
        "flink_taskmanager_job_task_backPressuredTimeMsPerSecond",
        "flink_taskmanager_job_task_busyTimeMsPerSecond",
        "flink_taskmanager_Status_JVM_Memory_Heap_Used",
    }
)
TF_SERVING = frozenset(
    {
        ":tensorflow:serving:request_count",
        ":tensorflow:serving:request_latency",
        ":tensorflow:serving:runtime_latency",
        ":tensorflow:serving:model_warmup_latency",
        ":tensorflow:cc:saved_model:load_latency",
        ":tensorflow:cc:saved_model:load_attempt_count",
    }
)
RECORDED = frozenset(
    {
        "role:requests:rate1m",
        "role:errors:rate1m",
        "role:latency_ms:p50_1m",
        "role:latency_ms:p99_1m",
        "role:unanswered:rate1m",
    }
)
OWN = frozenset(metric.name for metric in METRICS)
HISTOGRAMS = frozenset(metric.name for metric in METRICS if metric.kind == "histogram") | {
    "envoy_cluster_upstream_rq_time",
    ":tensorflow:serving:request_latency",
    ":tensorflow:serving:runtime_latency",
    ":tensorflow:serving:model_warmup_latency",
}
PROCESS = frozenset({"process_cpu_seconds_total", "process_resident_memory_bytes"})
"""What the Python client of Prometheus exports of its process."""
KNOWN = OWN | ENVOY | FLINK | PROCESS | TF_SERVING | RECORDED | {"up"}

_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)")
_SELECTOR = re.compile(r"\{[^}]*\}")
_RANGE = re.compile(r"\[[^\]]*\]|\boffset\s+\S+")
_WORD = re.compile(r"(?<![\w:$.])([A-Za-z_:][\w:]*)(?!\s*\()(?![\w:])")
_KEYWORDS = frozenset({"and", "or", "unless", "by", "on", "bool", "offset", "inf", "nan"})


def metric_names(expression: str) -> frozenset[str]:
    """The metrics that a PromQL expression reads; histograms without their suffix.

    >>> sorted(metric_names('sum by (model) (rate(driftline_tick_seconds_bucket{le="1"}[5m])) > 2'))
    ['driftline_tick_seconds']
    """
    bare = _TEXT.sub('""', expression)
    for pattern in (_SELECTOR, _GROUPING, _RANGE):
        bare = pattern.sub(" ", bare)
    names = (word for word in _WORD.findall(bare) if word.lower() not in _KEYWORDS)
    return frozenset(_family(word) for word in names)


def _family(name: str) -> str:
    for suffix in ("_bucket", "_sum", "_count"):
        if name.removesuffix(suffix) in HISTOGRAMS:
            return name.removesuffix(suffix)
    return name

"""What the watchdog exports of jobs and processes."""

from __future__ import annotations

from deploy.metrics.stream_job import JobCondition, WatchdogExporter


def test_the_condition_of_a_job_is_exported() -> None:
    exporter = WatchdogExporter("stream-watchdog")
    value = exporter.registry.get_sample_value
    exporter.job("all", JobCondition(expected=True, resubmits=3, attempts=1))
    labels = {"group": "all"}
    assert value("driftline_stream_job_expected", labels) == 1
    assert value("driftline_stream_job_running", labels) == 0
    assert value("driftline_stream_job_resubmits_total", labels) == 3
    assert value("driftline_stream_job_checkpoint_seconds", labels) is None
    exporter.job("all", JobCondition(expected=True, running=True, resubmits=4, checkpointed_at=9.0))
    assert value("driftline_stream_job_running", labels) == 1
    assert value("driftline_stream_job_resubmits_total", labels) == 4
    assert value("driftline_stream_job_checkpoint_seconds", labels) == 9


def test_a_process_is_unresponsive_only_after_it_has_answered() -> None:
    exporter = WatchdogExporter("stream-watchdog")

    def of(name: str) -> tuple[float | None, float | None]:
        value, labels = exporter.registry.get_sample_value, {"process": name}
        return value("driftline_process_answers", labels), value(
            "driftline_process_unresponsive", labels
        )

    exporter.processes({"kafka": "unresponsive", "envoy": "starting", "flink": "no answer"})
    assert (of("kafka"), of("envoy"), of("flink")) == ((0, 1), (0, 0), (0, 0))
    exporter.processes({"kafka": "ready", "envoy": "down", "flink": "ready"})
    assert (of("kafka"), of("envoy"), of("flink")) == ((1, 0), (0, 0), (1, 0))
    exporter.processes({"flink": "no answer"})
    assert (of("kafka"), of("flink")) == ((None, None), (0, 1))


def test_the_watchdogs_step_is_exported() -> None:
    exporter = WatchdogExporter("stream-watchdog")
    exporter.progress(5.0)
    labels = {"process": "stream-watchdog"}
    assert exporter.registry.get_sample_value("driftline_progress_seconds", labels) == 5

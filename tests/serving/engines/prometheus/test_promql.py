"""Prometheus samples to counters, including errors that retries and aggregates hide."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.envoy.config import EnvoyLayout
from serving.engines.prometheus.client import Target, serving_targets, write_config
from serving.engines.prometheus.promql import Sample, read_scrapes, selector
from serving.ports import Arm, ArmCounters

AT = 100.0


def sample(name: str, value: float, cluster: str = "", at: float = AT, **labels: str) -> Sample:
    named = {"__name__": name, **({"envoy_cluster_name": cluster} if cluster else {}), **labels}
    return Sample(named, at, value)


def counters(arm: Arm, *samples: Sample) -> ArmCounters:
    (scrape,) = read_scrapes([sample("envoy_server_uptime", 50), *samples])
    return next(arm_counters for arm_counters in scrape.arms if arm_counters.arm == arm)


def test_a_successful_retry_is_an_error_of_the_arm() -> None:
    result = counters(
        "canary",
        sample("envoy_cluster_upstream_rq_completed", 100, "canaryfb_rest"),
        sample("envoy_cluster_endpoint_rq_success", 70, "canary_rest"),
    )
    assert (result.requests, result.errors) == (100, 30)


def test_rest_and_grpc_are_one_arm_and_client_errors_count() -> None:
    result = counters(
        "control",
        sample("envoy_cluster_upstream_rq_completed", 100, "controlfb_rest"),
        sample("envoy_cluster_endpoint_rq_success", 100, "control_rest"),
        sample("envoy_cluster_upstream_rq_xx", 3, "controlfb_rest", envoy_response_code_class="4"),
        sample("envoy_cluster_upstream_rq_completed", 50, "controlfb_grpc"),
        sample("envoy_cluster_endpoint_rq_success", 50, "control_grpc"),
        sample("envoy_cluster_grpc_3", 4, "controlfb_grpc"),
    )
    assert (result.requests, result.errors) == (150, 7)


def test_responses_of_the_spare_server_are_errors_of_the_arm() -> None:
    result = counters(
        "canary",
        sample("envoy_cluster_upstream_rq_completed", 10, "canaryfb_grpc"),
        sample("envoy_cluster_endpoint_rq_success", 10, "sparestable_grpc"),
    )
    assert result.errors == 10


def test_slow_responses_are_those_above_the_edge() -> None:
    result = counters(
        "mirror-canary",
        sample("envoy_cluster_upstream_rq_time_count", 40, "mirrorcanary_rest"),
        sample("envoy_cluster_upstream_rq_time_bucket", 15, "mirrorcanary_rest", le="200"),
    )
    assert (result.timed, result.slow) == (40, 25)


def test_a_scrape_without_envoys_uptime_is_dropped() -> None:
    samples = [
        sample("envoy_server_uptime", 51, at=101.0),
        sample("envoy_cluster_upstream_rq_completed", 9, "stablefb_rest", at=100.0),
        sample("envoy_cluster_upstream_rq_completed", 12, "stablefb_rest", at=101.0),
    ]
    (scrape,) = read_scrapes(samples)
    assert scrape.at == 101.0
    assert scrape.arms[0].requests == 12


@given(st.integers(1, 10_000), st.integers(1, 600))
def test_the_selector_contains_the_edge_and_the_range(edge: int, seconds: int) -> None:
    assert f"{edge}" in selector(edge, seconds)
    assert selector(edge, seconds).endswith(f"[{seconds}s]")


def test_the_configuration_has_every_target_once(tmp_path: Path) -> None:
    targets = (
        *serving_targets(EnvoyLayout(model="m")),
        Target(job="driftline", address="127.0.0.1:9101"),
        Target(job="driftline", address="127.0.0.1:9102"),
    )
    path = write_config(
        tmp_path / "prometheus.yml", targets, rule_files=("r/*.yml",), alertmanagers=("a:9094",)
    )
    config = json.loads(path.read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert list(jobs) == ["envoy", "model", "driftline"]
    assert len(jobs["model"]["static_configs"]) == 4
    assert jobs["envoy"]["params"] == {"usedonly": [""]}
    assert config["global"]["scrape_interval"] == "1000ms"


@pytest.mark.engine
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    import subprocess

    from tests.serving.engines.serving_stack import program

    promtool = program("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; run `make setup`.")
    path = write_config(tmp_path / "prometheus.yml", serving_targets(EnvoyLayout(model="m")))
    completed = subprocess.run(
        [promtool, "check", "config", str(path)], check=False, capture_output=True, text=True
    )
    assert completed.returncode == 0, completed.stderr

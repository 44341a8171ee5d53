"""Prometheus samples to counters, including errors that retries and aggregates hide."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.envoy.config import EnvoyLayout
from serving.engines.envoy.names import (
    CLUSTER_LABELS,
    PROTOS,
    Proto,
    arm_and_model,
    cluster_name,
    model_in_names,
)
from serving.engines.prometheus.client import Target, serving_targets, write_config
from serving.engines.prometheus.counters import by_model
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
        sample("envoy_cluster_upstream_rq_completed", 100, "canaryfb_rest__m"),
        sample("envoy_cluster_endpoint_rq_success", 70, "canary_rest__m"),
    )
    assert (result.requests, result.errors) == (100, 30)


def test_rest_and_grpc_are_one_arm_and_client_errors_count() -> None:
    result = counters(
        "control",
        sample("envoy_cluster_upstream_rq_completed", 100, "controlfb_rest__m"),
        sample("envoy_cluster_endpoint_rq_success", 100, "control_rest__m"),
        sample(
            "envoy_cluster_upstream_rq_xx", 3, "controlfb_rest__m", envoy_response_code_class="4"
        ),
        sample("envoy_cluster_upstream_rq_completed", 50, "controlfb_grpc__m"),
        sample("envoy_cluster_endpoint_rq_success", 50, "control_grpc__m"),
        sample("envoy_cluster_grpc_3", 4, "controlfb_grpc__m"),
    )
    assert (result.requests, result.errors) == (150, 7)


def test_responses_of_the_spare_server_are_errors_of_the_arm() -> None:
    result = counters(
        "canary",
        sample("envoy_cluster_upstream_rq_completed", 10, "canaryfb_grpc__m"),
        sample("envoy_cluster_endpoint_rq_success", 10, "sparestable_grpc__m"),
    )
    assert result.errors == 10


def test_slow_responses_are_those_above_the_edge() -> None:
    result = counters(
        "mirror-canary",
        sample("envoy_cluster_upstream_rq_time_count", 40, "mirrorcanary_rest__m"),
        sample("envoy_cluster_upstream_rq_time_bucket", 15, "mirrorcanary_rest__m", le="200"),
    )
    assert (result.timed, result.slow) == (40, 25)


def test_an_arm_has_the_sum_of_its_slices_and_each_of_them() -> None:
    retried = "envoy_cluster_upstream_rq_retry"
    result = counters(
        "canary",
        sample("envoy_cluster_upstream_rq_completed", 100, "canaryfb_rest"),
        sample("envoy_cluster_upstream_rq_completed", 30, "canaryfb-acme_rest"),
        sample("envoy_cluster_upstream_rq_completed", 12, "canaryfb-acme_grpc"),
        sample("envoy_cluster_upstream_rq_completed", 5, "canaryfb-a%2Eb_rest"),
        sample("envoy_cluster_endpoint_rq_success", 140, "canary_rest"),
        sample(retried, 6, "canaryfb-acme_rest"),
        sample(f"{retried}_overflow", 1, "canaryfb-acme_rest"),
        sample("envoy_cluster_grpc_3", 2, "canaryfb-acme_grpc"),
        sample(retried, 50, "canaryfb_rest"),  # in no slice
        sample("envoy_cluster_upstream_rq_time_count", 42, "canaryfb-acme_rest"),
        sample("envoy_cluster_upstream_rq_time_bucket", 40, "canaryfb-acme_rest", le="200"),
    )
    assert (result.requests, result.errors) == (147, 9)
    by_name = {part.name: part for part in result.slices}
    assert (by_name["acme"].requests, by_name["acme"].errors) == (42, 9)
    assert (by_name["acme"].timed, by_name["acme"].slow) == (42, 2)
    assert (by_name["a.b"].requests, by_name["a.b"].errors) == (5, 0)
    assert (result.timed, result.slow) == (42, 2)


def test_a_scrape_without_envoys_uptime_is_dropped() -> None:
    samples = [
        sample("envoy_server_uptime", 51, at=101.0),
        sample("envoy_cluster_upstream_rq_completed", 9, "stablefb_rest__m", at=100.0),
        sample("envoy_cluster_upstream_rq_completed", 12, "stablefb_rest__m", at=101.0),
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
        *serving_targets([EnvoyLayout(model="m")]),
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
    path = write_config(tmp_path / "prometheus.yml", serving_targets([EnvoyLayout(model="m")]))
    completed = subprocess.run(
        [promtool, "check", "config", str(path)], check=False, capture_output=True, text=True
    )
    assert completed.returncode == 0, completed.stderr


def test_each_model_gets_the_samples_of_its_own_clusters() -> None:
    names = ("fares", "fares__2", "stablefb_rest")
    read = [
        *(
            sample("envoy_cluster_upstream_rq_completed", number, f"stablefb_rest__{name}")
            for number, name in enumerate(names, start=1)
        ),
        sample("envoy_server_uptime", 50),
    ]
    grouped = by_model(read)
    assert {name: [one.value for one in grouped[name]] for name in ("", *names)} == {
        "": [50],
        "fares": [1],
        "fares__2": [2],
        "stablefb_rest": [3],
    }


@given(
    st.sampled_from(("stablefb", "control", "mirrorcanary")),
    st.sampled_from(PROTOS),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]*", fullmatch=True),
)
def test_arm_and_model_are_told_apart_by_us_and_by_prometheus(
    arm: str, proto: Proto, model: str
) -> None:
    cluster = cluster_name(arm, proto, model)
    assert "." not in cluster  # Envoy would cut the name there
    assert arm_and_model(cluster) == (arm, model_in_names(model))
    labels = re.fullmatch(CLUSTER_LABELS, cluster)
    assert labels is not None
    assert labels.groups() == (arm.removesuffix("fb"), proto)


def test_series_of_each_model_are_labelled_with_its_name(tmp_path: Path) -> None:
    layouts = [EnvoyLayout(model=name) for name in ("fares", "big.tipper", "fares__big.tipper")]
    path = write_config(tmp_path / "prometheus.yml", serving_targets(layouts))
    envoy, servers = json.loads(path.read_text())["scrape_configs"]
    for layout in layouts:
        cluster = cluster_name("canaryfb", "grpc", layout.model)
        given_labels = [
            rule["replacement"]
            for rule in envoy["metric_relabel_configs"]
            if rule.get("target_label") == "model" and re.fullmatch(rule["regex"], cluster)
        ]
        assert given_labels == [layout.model]
    assert [entry["labels"] for entry in servers["static_configs"][::4]] == [
        {"role": "stable", "model": layout.model} for layout in layouts
    ]


RETRIED_CLASS = "envoy_cluster_retry_upstream_rq_xx"


def refusals(
    final: int, again: int, *, requests: int = 100, served: int = 100, proto: Proto = "rest"
) -> ArmCounters:
    """An arm whose requests ended with `final` client errors, and `again` refusals tried again."""
    cluster = f"canaryfb_{proto}__m"
    code_class = "4" if proto == "rest" else "2"
    name = "envoy_cluster_upstream_rq_xx" if proto == "rest" else "envoy_cluster_grpc_3"
    return counters(
        "canary",
        sample("envoy_cluster_upstream_rq_completed", requests, cluster),
        sample("envoy_cluster_endpoint_rq_success", served, f"canary_{proto}__m"),
        sample("envoy_cluster_upstream_rq_xx", 60, cluster, envoy_response_code_class="2"),
        sample(name, final, cluster, envoy_response_code_class="4" if proto == "rest" else ""),
        sample(RETRIED_CLASS, again, cluster, envoy_response_code_class=code_class),
    )


@pytest.mark.parametrize("proto", PROTOS)
def test_a_request_that_both_servers_refuse_is_one_error(proto: Proto) -> None:
    assert refusals(final=7, again=7, served=93, proto=proto).errors == 7


@pytest.mark.parametrize("proto", PROTOS)
def test_a_refusal_that_another_server_answers_is_one_error(proto: Proto) -> None:
    assert refusals(final=0, again=30, served=70, proto=proto).errors == 30


@pytest.mark.parametrize("proto", PROTOS)
def test_a_refusal_that_was_not_tried_again_is_one_error(proto: Proto) -> None:
    assert refusals(final=30, again=0, served=100, proto=proto).errors == 30


def test_earlier_refusals_that_were_tried_again_hide_no_later_ones() -> None:
    class_4 = {"envoy_response_code_class": "4"}

    def scrape(at: float, requests: int, served: int, final: int) -> list[Sample]:
        return [
            sample("envoy_server_uptime", at - 50, at=at),
            sample("envoy_cluster_upstream_rq_completed", requests, "canaryfb_rest__m", at),
            sample("envoy_cluster_endpoint_rq_success", served, "canary_rest__m", at),
            sample("envoy_cluster_upstream_rq_xx", final, "canaryfb_rest__m", at, **class_4),
            sample(RETRIED_CLASS, 500, "canaryfb_rest__m", at, **class_4),
        ]

    first, second = read_scrapes([*scrape(100, 500, 0, 0), *scrape(101, 600, 100, 40)])
    errors = [next(arm for arm in entry.arms if arm.arm == "canary") for entry in (first, second)]
    assert [entry.errors for entry in errors] == [500, 540]

"""Envoy's configuration as data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.envoy.clusters import clusters
from serving.engines.envoy.config import (
    EnvoyLayout,
    Proto,
    discovery,
    read_split,
    routes,
    split_text,
)
from serving.ports import TrafficSplit
from streaming.contracts.errors import ConfigurationError

LAYOUT = EnvoyLayout(model="m")


def route_action(split: TrafficSplit, proto: Proto = "rest") -> dict[str, Any]:
    (config,) = routes(LAYOUT, split)
    index = {"grpc": 0, "rest": 1}[proto]
    action: dict[str, Any] = config["virtual_hosts"][0]["routes"][index]["route"]
    return action


@given(st.integers(0, 50), st.integers(0, 100), st.booleans())
def test_the_route_version_encodes_the_split(canary: int, mirror: int, sticky: bool) -> None:
    split = TrafficSplit(
        stable=100 - 2 * canary, control=canary, canary=canary, mirror=mirror, sticky=sticky
    )
    assert read_split(split_text(split)) == split


@pytest.mark.parametrize("text", ["", "7", "stable=100", "stable=90 control=5 canary=4 sticky=0"])
def test_a_foreign_route_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_split(text)


def test_clients_are_routed_to_aggregates_by_weight() -> None:
    weighted = route_action(TrafficSplit(stable=80, control=10, canary=10))["weighted_clusters"][
        "clusters"
    ]
    assert [(cluster["name"], cluster["weight"]) for cluster in weighted] == [
        ("controlfb_rest", 10),
        ("stablefb_rest", 80),
        ("canaryfb_rest", 10),
    ]


def test_mirroring_and_hashing_by_user_are_off_by_default() -> None:
    plain = route_action(TrafficSplit())
    assert "request_mirror_policies" not in plain
    assert "hash_policy" not in plain
    copied = route_action(TrafficSplit(mirror=25, shadow=100), "grpc")["request_mirror_policies"]
    assert [policy["cluster"] for policy in copied] == [
        "mirrorcontrol_grpc",
        "mirrorcanary_grpc",
        "shadow_grpc",
    ]
    assert route_action(TrafficSplit(sticky=True))["weighted_clusters"]["use_hash_policy"]


def test_every_named_cluster_exists_and_control_is_configured_like_canary() -> None:
    by_name = {cluster["name"]: cluster for cluster in clusters(LAYOUT)}
    for name, cluster in by_name.items():
        if "fb_" in name:
            members = cluster["cluster_type"]["typed_config"]["clusters"]
            assert set(members) <= set(by_name)
            assert cluster["circuit_breakers"] == by_name["stable_rest"]["circuit_breakers"]
    control = repr(by_name["control_grpc"]).replace("control", "X").replace("852", "85")
    assert control == repr(by_name["canary_grpc"]).replace("canary", "X").replace("853", "85")
    assert "outlier_detection" not in by_name["mirrorcanary_rest"]
    assert "health_checks" not in by_name["mirrorcanary_rest"]


def test_the_model_service_is_not_reachable_through_the_public_port() -> None:
    (config,) = routes(LAYOUT, TrafficSplit())
    prefixes = [route["match"]["prefix"] for route in config["virtual_hosts"][0]["routes"]]
    assert prefixes == ["/tensorflow.serving.PredictionService/", "/v1/models/"]
    assert discovery("x", [])["version_info"] == "x"


def test_our_own_response_headers_carry_the_project_name() -> None:
    (config,) = routes(LAYOUT, TrafficSplit())
    clusters_of_route = route_action(TrafficSplit())["weighted_clusters"]["clusters"]
    added = [
        *config["response_headers_to_add"],
        *(header for cluster in clusters_of_route for header in cluster["response_headers_to_add"]),
    ]
    assert {entry["header"]["key"] for entry in added} == {
        "x-driftline-version",
        "x-driftline-arm",
    }

"""Envoy's configuration as data."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.envoy.clusters import clusters
from serving.engines.envoy.config import (
    EnvoyLayout,
    discovery,
    read_split,
    routes,
    split_text,
)
from serving.ports import Split
from streaming.contracts.errors import ConfigurationError

LAYOUT = EnvoyLayout(model="m")


def action(split: Split, place: int = 1) -> dict[str, Any]:
    (config,) = routes(LAYOUT, split)
    found: dict[str, Any] = config["virtual_hosts"][0]["routes"][place]["route"]
    return found


@given(st.integers(0, 50), st.integers(0, 100), st.booleans())
def test_the_route_version_says_the_split(canary: int, mirror: int, sticky: bool) -> None:
    split = Split(
        stable=100 - 2 * canary, control=canary, canary=canary, mirror=mirror, sticky=sticky
    )
    assert read_split(split_text(split)) == split


@pytest.mark.parametrize("text", ["", "7", "stable=100", "stable=90 control=5 canary=4 sticky=0"])
def test_a_route_version_of_somebody_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_split(text)


def test_clients_are_routed_to_aggregates_by_weight() -> None:
    weighted = action(Split(stable=80, control=10, canary=10))["weighted_clusters"]["clusters"]
    assert [(one["name"], one["weight"]) for one in weighted] == [
        ("controlfb_rest", 10),
        ("stablefb_rest", 80),
        ("canaryfb_rest", 10),
    ]


def test_copies_and_users_only_where_asked_for() -> None:
    plain = action(Split())
    assert "request_mirror_policies" not in plain
    assert "hash_policy" not in plain
    copied = action(Split(mirror=25, shadow=100), place=0)["request_mirror_policies"]
    assert [one["cluster"] for one in copied] == [
        "mirrorcontrol_grpc",
        "mirrorcanary_grpc",
        "shadow_grpc",
    ]
    assert action(Split(sticky=True))["weighted_clusters"]["use_hash_policy"]


def test_every_cluster_that_is_named_exists_and_control_equals_canary() -> None:
    made = {cluster["name"]: cluster for cluster in clusters(LAYOUT)}
    for name, cluster in made.items():
        if "fb_" in name:
            members = cluster["cluster_type"]["typed_config"]["clusters"]
            assert set(members) <= set(made)
            assert cluster["circuit_breakers"] == made["stable_rest"]["circuit_breakers"]
    control = repr(made["control_grpc"]).replace("control", "X").replace("852", "85")
    assert control == repr(made["canary_grpc"]).replace("canary", "X").replace("853", "85")
    assert "outlier_detection" not in made["mirrorcanary_rest"]
    assert "health_checks" not in made["mirrorcanary_rest"]


def test_the_model_service_is_not_reachable_through_the_public_port() -> None:
    (config,) = routes(LAYOUT, Split())
    prefixes = [route["match"]["prefix"] for route in config["virtual_hosts"][0]["routes"]]
    assert prefixes == ["/tensorflow.serving.PredictionService/", "/v1/models/"]
    assert discovery("x", [])["version_info"] == "x"

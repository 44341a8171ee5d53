"""Envoy's configuration as data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engines.envoy.clusters import clusters
from serving.engines.envoy.config import (
    LABEL_HEADER,
    MODEL_HEADER,
    Endpoint,
    EnvoyLayout,
    Json,
    discovery,
    read_split,
    split_text,
)
from serving.engines.envoy.names import Proto, arm_and_model, cluster_name
from serving.engines.envoy.router import write_bootstrap, write_split
from serving.engines.envoy.routes import (
    model_routes,
    retry_policy,
    route_configuration,
    split_action,
)
from serving.engines.envoy.slice_routes import arm_cluster, encoded, slice_of
from serving.ports import ALL_STABLE, Arm, ArmShare, ExperimentSplit, Role, TrafficSplit
from serving.slice_rules import SliceRules
from streaming.contracts.errors import ConfigurationError

LAYOUT = EnvoyLayout(model="m")
SECOND = EnvoyLayout(model="m2", default=False)
SLICED = EnvoyLayout(
    model="m", slices=SliceRules(header="x-tenant", values=("acme", "big_corp.example"))
)
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def route_action(split: TrafficSplit, proto: Proto = "rest") -> dict[str, Any]:
    action: dict[str, Any] = split_action(LAYOUT, split, proto)
    return action


def configuration(*layouts: EnvoyLayout, split: TrafficSplit = ALL_STABLE) -> Json:
    routes_of = {layout.model: model_routes(layout, split) for layout in layouts}
    return route_configuration(routes_of, retry_policy(layouts[0]))


def chosen(
    config: Json, path: str, method: str = "POST", headers: Mapping[str, str] = NO_HEADERS
) -> Json:
    """The first route that matches, as Envoy chooses it."""
    sent = {":method": method, **headers}
    routes: list[Json] = config["virtual_hosts"][0]["routes"]
    return next(route for route in routes if matches(route["match"], path, sent))


def matches(match: Json, path: str, sent: Mapping[str, str]) -> bool:
    pattern = match.get("safe_regex", {}).get("regex", "x^")
    separated = match.get("path_separated_prefix", "\0")
    on_path = (
        re.fullmatch(pattern, path)
        or path.startswith(match.get("prefix", "\0"))
        or f"{path}/".startswith(f"{separated}/")
    )
    return bool(on_path) and all(header_fits(rule, sent) for rule in match.get("headers", ()))


def header_fits(rule: Json, sent: Mapping[str, str]) -> bool:
    missing = "" if rule.get("treat_missing_header_as_empty") else None
    value, pattern = sent.get(rule["name"], missing), rule["string_match"]
    if value is None:
        return False
    if "exact" in pattern:
        return bool(value == pattern["exact"])
    return re.fullmatch(pattern["safe_regex"]["regex"], value) is not None


@given(st.integers(0, 50), st.integers(0, 100))
def test_the_route_version_encodes_the_split(canary: int, mirror: int) -> None:
    split = TrafficSplit(stable=100 - 2 * canary, control=canary, canary=canary, mirror=mirror)
    assert read_split(split_text(split)) == split


@given(st.integers(1, 5000), st.sampled_from([None, "canary", "control"]))
def test_the_route_version_encodes_an_experiment(share: int, arm: Arm | None) -> None:
    split = TrafficSplit(experiment=experiment_split(share, arm))
    assert read_split(split_text(split)) == split


def experiment_split(share: int, arm: Arm | None) -> ExperimentSplit:
    arms = (
        ArmShare(name="champion", version=1, share=share, arm="stable"),
        ArmShare(name="v2", version=2, share=share, arm=arm),
    )
    return ExperimentSplit(salt="0a1b", header="x-user-id", arms=arms)


@pytest.mark.parametrize(
    "text", ["", "7", "stable=100", "stable=90 control=5 canary=4 experiment="]
)
def test_a_foreign_route_version_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_split(text)


def test_clients_are_routed_to_aggregates_by_weight() -> None:
    weighted = route_action(TrafficSplit(stable=80, control=10, canary=10))["weighted_clusters"][
        "clusters"
    ]
    assert [(cluster["name"], cluster["weight"]) for cluster in weighted] == [
        ("controlfb_rest__m", 10),
        ("stablefb_rest__m", 80),
        ("canaryfb_rest__m", 10),
    ]


def test_mirroring_and_hashing_by_user_are_off_by_default() -> None:
    plain = route_action(TrafficSplit())
    assert "request_mirror_policies" not in plain
    assert "hash_policy" not in plain
    copied = route_action(TrafficSplit(mirror=25, shadow=100), "grpc")["request_mirror_policies"]
    assert [policy["cluster"] for policy in copied] == [
        "mirrorcontrol_grpc__m",
        "mirrorcanary_grpc__m",
        "shadow_grpc__m",
    ]
    by_user = TrafficSplit(experiment=experiment_split(500, "canary"))
    hashed = [
        route["route"]
        for route in model_routes(LAYOUT, by_user)
        if "hash_policy" in route.get("route", {})
    ]
    assert [action["weighted_clusters"]["use_hash_policy"] for action in hashed] == [True, True]
    for action in hashed:
        weights = [cluster["weight"] for cluster in action["weighted_clusters"]["clusters"]]
        assert weights == [500, 500, 9000]
    known = {cluster["name"] for cluster in clusters(LAYOUT)}
    routes = repr(model_routes(LAYOUT, by_user))
    named = set(re.findall(r"'(?:cluster|name)': '(\w+_(?:rest|grpc)__m)'", routes))
    assert named
    assert named <= known


def test_every_named_cluster_exists_and_control_is_configured_like_canary() -> None:
    by_name = {cluster["name"]: cluster for cluster in clusters(LAYOUT)}
    for name, cluster in by_name.items():
        if "fb_" in name:
            members = cluster["cluster_type"]["typed_config"]["clusters"]
            assert set(members) <= set(by_name)
            assert cluster["circuit_breakers"] == by_name["stable_rest__m"]["circuit_breakers"]
    control = repr(by_name["control_grpc__m"]).replace("control", "X").replace("852", "85")
    assert control == repr(by_name["canary_grpc__m"]).replace("canary", "X").replace("853", "85")
    assert "outlier_detection" not in by_name["mirrorcanary_rest__m"]
    assert "health_checks" not in by_name["mirrorcanary_rest__m"]


def test_the_model_service_is_not_reachable_through_the_public_port() -> None:
    config = configuration(LAYOUT, SECOND)
    for path in ("/tensorflow.serving.ModelService/HandleReloadConfigRequest", "/stats", "/"):
        with pytest.raises(StopIteration):
            chosen(config, path)
    assert discovery("x", [])["version_info"] == "x"


def test_our_own_response_headers_carry_the_project_name() -> None:
    clusters_of_route = route_action(TrafficSplit())["weighted_clusters"]["clusters"]
    added = [
        *(
            header
            for route in model_routes(LAYOUT, TrafficSplit())
            for header in route["response_headers_to_add"]
        ),
        *(header for cluster in clusters_of_route for header in cluster["response_headers_to_add"]),
    ]
    assert {entry["header"]["key"] for entry in added} == {
        "x-driftline-version",
        "x-driftline-arm",
    }


@pytest.mark.parametrize(
    ("path", "method", "arm"),
    [
        ("/v1/models/m:predict", "POST", True),
        ("/v1/models/m:classify", "POST", True),
        ("/v1/models/m:regress", "POST", True),
        ("/v1/models/m/versions/3:predict", "POST", True),
        ("/v1/models/m/labels/unknown:regress", "POST", True),
        ("/v1/models/m/labels/stable:regress", "POST", False),
        ("/tensorflow.serving.PredictionService/Predict", "POST", True),
        ("/tensorflow.serving.PredictionService/Classify", "POST", True),
        ("/tensorflow.serving.PredictionService/Regress", "POST", True),
        ("/tensorflow.serving.PredictionService/MultiInference", "POST", True),
        ("/tensorflow.serving.PredictionService/GetModelMetadata", "POST", False),
        ("/v1/models/m", "GET", False),
        ("/v1/models/m/metadata", "GET", False),
        ("/v1/models/m/versions/3", "GET", False),
        ("/v1/models/m/versions/3/metadata", "GET", False),
        ("/v1/models/m:predict", "GET", False),
        ("/v1/models/m:predict", "HEAD", False),
        ("/v1/models/m:unknown", "POST", False),
        ("/v1/models/m:predict/x", "POST", False),
    ],
)
def test_only_predictions_are_split_between_the_arms(path: str, method: str, arm: bool) -> None:
    config = configuration(LAYOUT, split=TrafficSplit(stable=80, control=10, canary=10))
    route = chosen(config, path, method)["route"]
    assert ("weighted_clusters" in route) == arm
    assert arm or route["cluster"].startswith("other_")


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/models/m:predict", "m"),
        ("/v1/models/m2:predict", "m2"),
        ("/v1/models/m/versions/1:predict", "m"),
        ("/v1/models/m2/versions/1:predict", "m2"),
        ("/v1/models/m", "m"),
        ("/v1/models/m2/metadata", "m2"),
        ("/v1/models/m3:predict", ""),
        ("/v1/models/M:predict", ""),
        ("/v1/models/", ""),
    ],
)
def test_a_rest_request_reaches_the_servers_of_its_model_alone(path: str, model: str) -> None:
    route = chosen(configuration(LAYOUT, SECOND), path)
    if not model:
        assert route["direct_response"]["status"] == 404
        assert "serves m, m2" in route["direct_response"]["body"]["inline_string"]
        return
    assert cluster_models(route) == {model}


@pytest.mark.parametrize("method", ["Predict", "GetModelMetadata"])
@pytest.mark.parametrize(
    ("headers", "model"),
    [
        ({}, "m"),
        ({MODEL_HEADER: "m"}, "m"),
        ({MODEL_HEADER: "m2"}, "m2"),
        ({MODEL_HEADER: "x"}, ""),
    ],
)
def test_a_grpc_request_names_its_model_in_its_metadata(
    method: str, headers: dict[str, str], model: str
) -> None:
    path = f"/tensorflow.serving.PredictionService/{method}"
    route = chosen(configuration(LAYOUT, SECOND), path, headers=headers)
    assert cluster_models(route) == ({model} if model else set())


def cluster_models(route: Json) -> set[str]:
    """The models whose clusters a route names."""
    names = re.findall(r"'(?:name|cluster)': '(\w+?__\w+)'", repr(route.get("route", {})))
    return {name.partition("__")[2] for name in names}


def test_models_have_no_cluster_and_no_server_in_common() -> None:
    end: dict[Role, Endpoint] = {
        "stable": Endpoint(grpc_port=1, rest_port=2),
        "control": Endpoint(grpc_port=3, rest_port=4),
    }
    other = replace(SECOND, endpoints={**end, "canary": Endpoint(grpc_port=5, rest_port=6)})
    first, second = clusters(LAYOUT), clusters(other)
    assert {cluster["name"] for cluster in first} & {cluster["name"] for cluster in second} == set()
    names = {cluster["name"] for cluster in second}
    members = re.findall(r"'(\w+__\w+)'", repr(second))
    assert set(members) <= names


LABELLED = replace(
    LAYOUT, labels=("old", "canary-2"), label_endpoint=Endpoint(grpc_port=8550, rest_port=8551)
)


@pytest.mark.parametrize(
    ("label", "cluster", "sent_path"),
    [
        ("stable", "other", "/v1/models/m:predict"),
        ("canary", "labelcanary", "/v1/models/m:predict"),
        ("old", "labelled", "/v1/models/m/labels/old:predict"),
        ("canary-2", "labelled", "/v1/models/m/labels/canary-2:predict"),
    ],
)
def test_a_label_reaches_its_version_and_no_arm_counts_it(
    label: str, cluster: str, sent_path: str
) -> None:
    config, path = configuration(LABELLED, SECOND), f"/v1/models/m/labels/{label}:predict"
    action = chosen(config, path)["route"]
    assert action["cluster"] == f"{cluster}_rest__m"
    prefix = f"/v1/models/m/labels/{label}:"
    assert path.replace(prefix, action.get("prefix_rewrite", prefix)) == sent_path
    over_grpc = chosen(
        config,
        "/tensorflow.serving.PredictionService/Predict",
        headers={MODEL_HEADER: "m", LABEL_HEADER: label},
    )
    assert over_grpc["route"]["cluster"] == f"{cluster}_grpc__m"
    assert {entry["name"] for entry in clusters(LABELLED)} >= {
        f"{cluster}_rest__m",
        f"{cluster}_grpc__m",
    }


def test_labels_of_one_model_are_not_those_of_another() -> None:
    config = configuration(LABELLED, SECOND)
    action = chosen(config, "/v1/models/m2/labels/old:predict")["route"]
    assert "weighted_clusters" in action
    assert cluster_models({"route": action}) == {"m2"}


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_a_cluster_name_says_arm_slice_and_model(value: str) -> None:
    name = cluster_name(arm_cluster("canary", value), "rest", "a__model")
    arm, model = arm_and_model(name)
    assert slice_of(arm) == ("canaryfb", value)
    assert model == "a__model"
    # Envoy's counters and our selector need names without dots and without another _
    assert re.fullmatch(r"[A-Za-z0-9%-]+", encoded(value))


def test_each_slice_has_a_route_before_that_of_all_others() -> None:
    predictions = [
        route
        for route in model_routes(SLICED, TrafficSplit(stable=80, control=10, canary=10))
        if "weighted_clusters" in route["route"]
    ]
    shown = [
        (
            [header["string_match"]["exact"] for header in route["match"]["headers"][2:]],
            route["route"]["weighted_clusters"]["clusters"][2]["name"],
        )
        for route in predictions[:3]
    ]
    assert shown == [
        (["acme"], "canaryfb-acme_grpc__m"),
        (["big_corp.example"], "canaryfb-big%5Fcorp%2Eexample_grpc__m"),
        ([], "canaryfb_grpc__m"),
    ]
    # weights, retries, hedging and stickiness are those of every request
    for route in predictions[:3]:
        plain = {**route["route"], "weighted_clusters": None}
        assert plain == {**predictions[2]["route"], "weighted_clusters": None}


def test_a_slice_has_the_servers_of_its_arm_and_no_others() -> None:
    by_name = {cluster["name"]: cluster for cluster in clusters(SLICED)}
    assert len(by_name) == len(clusters(LAYOUT)) + 2 * 3 * 2  # slices, arms, protocols
    for arm in ("stable", "control", "canary"):
        plain, of_slice = by_name[f"{arm}fb_rest__m"], by_name[f"{arm}fb-acme_rest__m"]
        assert {**of_slice, "name": ""} == {**plain, "name": ""}


def test_new_slices_keep_the_split_and_write_its_routes_anew(tmp_path: Path) -> None:
    split = TrafficSplit(stable=80, control=10, canary=10)
    write_bootstrap(tmp_path, [LAYOUT])
    write_split(tmp_path, LAYOUT, split)
    write_bootstrap(tmp_path, [SLICED])
    written = json.loads((tmp_path / "rds.json").read_text())
    routes = {"m": model_routes(SLICED, split)}
    assert written["resources"] == [route_configuration(routes, retry_policy(SLICED))]

"""Two models of a file never take each other's servers, names or files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.app.deployment import Deployment
from deploy.app.serving_layout import envoy_layouts
from deploy.config import loader
from deploy.config.port_map import MAX_SERVED, PortMap
from serving.engines.envoy.config import Endpoint
from streaming.contracts.errors import ConfigurationError


def write(folder: Path, *names: str, **sections: Any) -> Path:
    models = {
        name: {
            "module": "retrain.models.big_tipper",
            "events": {"topic": f"t{number}.trips", "key": "trip_id"},
            "labels": {"topic": f"t{number}.tips", "key": "trip_id"},
        }
        for number, name in enumerate(names)
    }
    file = folder / "driftline.yaml"
    file.write_text(yaml.safe_dump({"models": models, **sections}, sort_keys=False))
    return file


@pytest.mark.parametrize("served", [["fares"], ["tips", "fares"], []])
def test_all_models_are_served_unless_some_are_named(tmp_path: Path, served: list[str]) -> None:
    names = ("fares", "tips", "delays")
    deployment = Deployment.load(write(tmp_path, *names, local={"served_models": served}))
    expected = served or list(names)
    assert list(deployment.served_models) == expected
    assert {name for name in names if deployment.serves(name)} == set(expected)
    assert {name for name in names if deployment.rollout_rules(name).served} == set(expected)
    assert [layout.model for layout in envoy_layouts(deployment)] == expected


@given(st.integers(0, 20_000), st.integers(1, MAX_SERVED))
def test_no_two_servers_share_a_port_whatever_the_offset(offset: int, served: int) -> None:
    ports = list(PortMap().shifted(offset).all_named(served).values())
    assert len(ports) == len(set(ports))
    assert max(ports) < 32_768  # Linux gives those above to anybody


@given(st.integers(2, MAX_SERVED))
def test_a_model_that_is_added_at_the_end_moves_no_other(served: int) -> None:
    before, after = PortMap().all_named(served - 1), PortMap().all_named(served)
    assert before.items() < after.items()


def test_a_deployment_serves_a_bounded_number_of_models(tmp_path: Path) -> None:
    names = [f"m{number}x" for number in range(MAX_SERVED + 1)]
    loader.load(write(tmp_path, *names[:MAX_SERVED]), environment={})
    with pytest.raises(ConfigurationError, match=r"51 models would be served; .* at most 50"):
        loader.load(write(tmp_path, *names), environment={})
    loader.load(write(tmp_path, *names, local={"served_models": names[1:]}), environment={})


@pytest.mark.parametrize(
    ("served", "message"),
    [(["fares", "fares"], "fares is listed 2 times"), (["fare"], "Did you mean fares")],
)
def test_wrong_names_of_served_models_are_refused(
    tmp_path: Path, served: list[str], message: str
) -> None:
    file = write(tmp_path, "fares", "tips", local={"served_models": served})
    with pytest.raises(ConfigurationError, match=message):
        loader.load(file, environment={})


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"kafka": {"bootstrap": "other:11001,localhost:11001"}}, "kafka.bootstrap"),
        ({"endpoints": {"prometheus": "http://127.0.0.1:11000"}}, "endpoints.prometheus"),
        ({"endpoints": {"workers": "127.0.0.1:11007"}}, "endpoints.workers"),
    ],
)
def test_a_program_on_the_port_of_a_model_server_is_refused(
    tmp_path: Path, sections: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"{key}: .* of the model servers of tips"):
        loader.load(write(tmp_path, "fares", "tips", **sections), environment={})
    loader.load(write(tmp_path, "fares", **sections), environment={})


def test_a_single_model_is_served_without_being_named(tmp_path: Path) -> None:
    assert Deployment.load(write(tmp_path, "fares")).serves("fares")


@pytest.mark.parametrize(
    "pair",
    [
        ("fares", "Fares"),
        ("fares", "FARES"),
        ("big_tipper", "big-tipper"),
        ("big.tipper", "big_tipper"),
        ("big--tipper", "big.tipper"),
        ("Model-1", "model.1"),
        ("a_", "a."),
    ],
)
def test_names_that_files_or_metrics_would_mix_up_are_refused(
    tmp_path: Path, pair: tuple[str, str]
) -> None:
    file = write(tmp_path, *pair)
    with pytest.raises(ConfigurationError, match=r"differ only in upper and lower case") as refusal:
        loader.load(file, environment={})
    assert all(name in str(refusal.value) for name in pair)


@pytest.mark.parametrize("pair", [("fares", "fares2"), ("a1", "a11"), ("ab", "a_b"), ("m1", "m-1")])
def test_names_that_differ_otherwise_are_accepted(tmp_path: Path, pair: tuple[str, str]) -> None:
    loader.load(write(tmp_path, *pair), environment={})


def test_a_name_that_is_too_long_for_files_is_refused(tmp_path: Path) -> None:
    loader.load(write(tmp_path, "m" * 100), environment={})
    with pytest.raises(ConfigurationError, match="101 characters"):
        loader.load(write(tmp_path, "m" * 101), environment={})


@pytest.mark.parametrize(
    ("label", "message"),
    [("stable", "label of that arm"), ("canary", "label of that arm"), ("a/b", "is no label")],
)
def test_labels_that_cannot_be_routed_are_refused(tmp_path: Path, label: str, message: str) -> None:
    file = write(tmp_path, "fares")
    settings = yaml.safe_load(file.read_text())
    settings["models"]["fares"]["version_labels"] = {label: 3}
    file.write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigurationError, match=message):
        loader.load(file, environment={})
    settings["models"]["fares"]["version_labels"] = {"previous": 3}
    file.write_text(yaml.safe_dump(settings))
    (layout,) = envoy_layouts(Deployment.load(file))
    assert (layout.labels, layout.label_endpoint) == (
        ("previous",),
        Endpoint(grpc_port=8550, rest_port=8551),
    )

"""Settings of how records are read: what cannot work is refused at its key; the rest becomes the
mapping."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.app.deployment import Deployment
from deploy.config import event_checks, loader
from deploy.config.checks import problems
from retrain.models.big_tipper.contract import CODE
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import FeatureSpec
from streaming.contracts.registered import RegistryAddress
from streaming.engines.registry import Registry

EVENTS = {"topic": "trips", "key": "trip_id"}
LABELS = {"topic": "tips", "key": "trip_id"}


def written(folder: Path, *, registry: str = "", **model: Any) -> Path:
    sections = {"module": "retrain.models.big_tipper", "events": EVENTS, "labels": LABELS} | model
    file = folder / "driftline.yaml"
    settings: dict[str, Any] = {"models": {"m": sections}}
    if registry:
        settings["registry"] = {"url": registry, "timeout": "2s"}
    file.write_text(yaml.safe_dump(settings))
    return file


@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        ({"events": EVENTS | {"format": "avro"}}, r"events\.format: avro needs .*registry\.url"),
        ({"labels": LABELS | {"format": "protobuf"}}, r"labels\.format: protobuf needs"),
        (
            {"events": EVENTS | {"fields": {"fare": "trip..fare"}}},
            r"fields\.fare\.path.*no|not a path",
        ),
        ({"events": EVENTS | {"fields": {"fare": {"path": "a", "zone": "Mars"}}}}, r"fare\.zone"),
        ({"events": EVENTS | {"fields": {"fare": {"path": "a", "rule": "log"}}}}, r"fare.*rule"),
        ({"events": EVENTS | {"time_format": "iso"}}, r"events\.time_format"),
        ({"events": EVENTS | {"key_from": "topic"}}, r"events\.key_from"),
        ({"events": EVENTS | {"refused_schemas": [-1]}}, r"refused_schemas"),
        ({"labels": LABELS | {"key": "id"}}, r"labels\.key: .*both must name the same field"),
    ],
)
def test_what_cannot_work_is_refused_at_its_key(
    tmp_path: Path, model: dict[str, Any], pattern: str
) -> None:
    with pytest.raises(ConfigurationError, match=pattern):
        loader.load(written(tmp_path, **model), environment={})


def test_fields_that_the_model_does_not_have_are_listed_by_the_check(tmp_path: Path) -> None:
    fields = {"fair": "a", "company": {"path": "b", "rule": "length"}, "fare": "c"}
    settings = loader.load(written(tmp_path, events=EVENTS | {"fields": fields}), environment={})
    complaints = dict(problems(settings, contracts=True))
    assert "no such field" in complaints["models", "m", "events", "fields", "fair"]
    assert "is a text" in complaints["models", "m", "events", "fields", "company", "rule"]
    assert len(complaints) == 2


def test_keys_may_differ_where_they_are_at_other_paths(tmp_path: Path) -> None:
    events = EVENTS | {"key": "trip.id", "time_format": "rfc3339", "fields": {"fare": "trip.fare"}}
    labels = LABELS | {"key": "id", "key_from": "header", "fields": {"tips": "paid.tips"}}
    file = written(
        tmp_path, events=events, labels=labels, predictions={"topic": "served", "time": "at"}
    )
    contract = Deployment.load(file).contract("m")
    assert contract.events == RecordMapping(
        time_format="rfc3339", fields=(FieldRule(name="fare", path="trip.fare"),)
    )
    assert contract.labels == RecordMapping(
        key="id",
        key_from="header",
        time_format="none",
        fields=(FieldRule(name="tips", path="paid.tips"),),
    )
    assert contract.predictions == RecordMapping(time="at", time_format="rfc3339")


def test_another_name_of_the_labels_key_is_accepted_where_it_is_meant(tmp_path: Path) -> None:
    file = written(tmp_path, labels=LABELS | {"key": "id", "key_from": "field"})
    contract = Deployment.load(file).contract("m")
    assert (contract.key, contract.labels.key) == ("trip_id", "id")


def test_a_plain_configuration_has_no_mapping_and_no_registry(tmp_path: Path) -> None:
    deployment = Deployment.load(written(tmp_path))
    contract = deployment.contract("m")
    assert contract.events == RecordMapping()
    assert (deployment.registry, deployment.schemas()) == (None, None)


def test_the_registry_of_the_settings_is_used(tmp_path: Path) -> None:
    file = written(
        tmp_path, registry="http://127.0.0.1:9", events=EVENTS | {"format": "json-schema"}
    )
    deployment = Deployment.load(file)
    assert deployment.registry == RegistryAddress(url="http://127.0.0.1:9", timeout_seconds=2.0)
    assert isinstance(deployment.schemas(), Registry)


@pytest.mark.parametrize(
    ("role", "fields", "pattern"),
    [
        ("events", {"company": {"path": "c", "rule": "categories"}}, "company is not"),
        ("labels", {"tips": {"path": "c", "rule": "categories"}}, "tips is not"),
        ("events", {"tags": {"path": "c", "rule": "length"}}, "tags is a text"),
        ("events", {}, "tags is multivalent; give its path and the rule categories"),
        ("events", {"tags": {"path": "c", "rule": "categories"}}, None),
    ],
)
def test_lists_of_categories_need_a_multivalent_feature_and_the_rule(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    fields: dict[str, Any],
    pattern: str | None,
) -> None:
    tags = FeatureSpec(name="tags", kind="text", categorical=True, multivalent=True)
    has_tags = "tags" in fields or (role == "events" and not fields)
    code = dataclasses.replace(CODE, features=(*CODE.features, *([tags] if has_tags else [])))
    monkeypatch.setattr(event_checks, "load_code", lambda _: code)
    sections: dict[str, Any] = {"events": EVENTS, "labels": LABELS}
    sections[role] = sections[role] | {"fields": fields}
    settings = loader.load(written(tmp_path, **sections), environment={})
    complaints = list(dict(problems(settings, contracts=True)).values())
    if pattern is None:
        assert complaints == []
    else:
        assert any(pattern in complaint for complaint in complaints), complaints

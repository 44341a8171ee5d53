"""Each key has a meaning, and the JSON Schema accepts what the file accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from deploy.config import loader
from deploy.config.explain import explain, json_schema
from deploy.config.settings import Settings

SHIPPED = Path(loader.__file__).parent
SCHEMA = json_schema()


@pytest.mark.parametrize("name", ["driftline.yaml", "demo.yaml", "demo-avro.yaml"])
def test_the_json_schema_accepts_what_ships(name: str) -> None:
    jsonschema.validate(yaml.safe_load((SHIPPED / name).read_text()), SCHEMA)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("window", {"size": 60}),
        ("window", {"size": "60"}),
        ("drift", {"false_alarms": "often"}),
        ("drift", {"sustained": [3, 5]}),
        ("rollout", {"gates": {"errors": "0.5"}}),
        ("rollout", {"gate": {}}),
    ],
)
def test_the_json_schema_refuses_what_the_file_refuses(section: str, value: Any) -> None:
    tree = yaml.safe_load((SHIPPED / "driftline.yaml").read_text())
    tree["models"]["big_tipper"][section] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree, SCHEMA)


def test_every_key_has_a_meaning_of_its_own_words() -> None:
    settings = loader.load(SHIPPED / "demo.yaml", environment={})
    rows = explain(settings)
    assert [row.key for row in rows if not row.meaning] == []
    sections = {row.key.split(".")[0] for row in rows}
    assert sections == set(Settings.model_fields)


def test_every_property_of_the_schema_is_described() -> None:
    silent = [
        f"{name}.{key}"
        for name, section in (*SCHEMA["$defs"].items(), ("Settings", SCHEMA))
        for key, value in section.get("properties", {}).items()
        if not value.get("description")
    ]
    assert silent == []


def test_the_defaults_of_the_schema_are_accepted_by_the_schema() -> None:
    defaults = {
        key: value["default"] for key, value in SCHEMA["properties"].items() if "default" in value
    }
    model = yaml.safe_load((SHIPPED / "driftline.yaml").read_text())["models"]["big_tipper"]
    properties = SCHEMA["$defs"]["ModelSettings"]["properties"]
    filled = {key: value["default"] for key, value in properties.items() if "default" in value}
    jsonschema.validate({**defaults, "models": {"m": {**filled, **model}}}, SCHEMA)


def test_durations_are_shown_as_they_are_written() -> None:
    rows = {row.key: row for row in explain(loader.load(SHIPPED / "demo.yaml", environment={}))}
    assert rows["models.big_tipper.retrain.cooldown"].value == "20s"
    assert rows["models.big_tipper.retrain.cooldown"].default == "30m"
    assert rows["models.big_tipper.rollout.gates.errors"].value == "+0.5pp"
    assert rows["models.big_tipper.module"].default == "required"

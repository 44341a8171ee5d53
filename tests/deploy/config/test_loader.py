"""driftline.yaml: what ships works, and every mistake is found at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import loader, units
from streaming.contracts.errors import ConfigurationError

SHIPPED = Path(loader.__file__).parent


@pytest.mark.parametrize("name", ["driftline.yaml", "demo.yaml", "demo-avro.yaml"])
def test_what_ships_loads(name: str) -> None:
    settings = loader.load(SHIPPED / name, environment={})
    assert settings.models["big_tipper"].drift.sustained == units.RunsRule(3, 5)


def test_every_mistake_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text(
        "models:\n"
        "  x:\n"
        "    module: a\n"
        "    events: {topic: a, key: k}\n"
        "    labels: {topic: b, key: k}\n"
        "    windw: {size: 5s}\n"
        "    window: {size: 5 parsecs}\n"
        "    rollout: {stps: [1], steps: [5, 1]}\n"
    )
    with pytest.raises(ConfigurationError) as refused:
        loader.load(file, environment={})
    lines = str(refused.value).splitlines()
    assert any(
        (line.startswith("driftline.yaml:7:") and "30s, 5m" in line) or "duration" in line
        for line in lines
    )
    assert any("windw" in line and "Did you mean window?" in line for line in lines)
    assert any(":8:" in line and "Did you mean steps?" in line for line in lines)


def test_the_environment_wins_over_the_file() -> None:
    settings = loader.load(
        SHIPPED / "driftline.yaml",
        environment={
            "DRIFTLINE__MODELS__BIG_TIPPER__RETRAIN__COOLDOWN": "5m",
            "DRIFTLINE__LOCAL__PORT_OFFSET": "100",
        },
    )
    assert settings.models["big_tipper"].retrain.cooldown == 300.0
    assert settings.local.port_offset == 100


def test_a_misspelt_environment_variable_refuses_to_start() -> None:
    with pytest.raises(ConfigurationError, match="port_offset"):
        loader.load(SHIPPED / "driftline.yaml", environment={"DRIFTLINE__LOCAL__PORT_OFSET": "1"})


def test_keys_of_events_and_labels_must_agree() -> None:
    with pytest.raises(ConfigurationError, match="same field"):
        loader.load(
            SHIPPED / "driftline.yaml",
            environment={"DRIFTLINE__MODELS__BIG_TIPPER__LABELS__KEY": "other"},
        )


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="copy"):
        loader.load(tmp_path / "none.yaml", environment={})


def test_rules_across_fields_are_checked_while_another_key_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text(
        "models:\n"
        "  x:\n"
        "    module: retrain.models.big_tipper\n"
        "    events: {topic: a, key: k}\n"
        "    labels: {topic: b, key: k}\n"
        "    windw: {size: 5s}\n"
        "    drift:\n"
        "      effect: {suspected: 0.9, drifted: 0.5}\n"
    )
    with pytest.raises(ConfigurationError) as refused:
        loader.load(file, environment={})
    lines = str(refused.value).splitlines()
    assert lines[0].startswith(
        "driftline.yaml:6: models.x.windw: no such key. Did you mean window?"
    )
    assert any(
        line.startswith("driftline.yaml:8: models.x.drift.effect.suspected") for line in lines
    )


def test_a_mistake_in_the_environment_names_its_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"^DRIFTLINE__LOCAL__SERVED_MODELS: "):
        loader.load(
            SHIPPED / "driftline.yaml",
            environment={"DRIFTLINE__LOCAL__SERVED_MODELS": "[big_tiper]"},
        )


@pytest.mark.parametrize("content", [b"models: [", b"\xff\xfe", b"- a", b""])
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"driftline\.yaml"):
        loader.load(file, environment={})

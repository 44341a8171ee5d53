"""No value of the file or the environment ends in a traceback: each mistake is a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.config import loader
from streaming.contracts.errors import ConfigurationError

SHIPPED = Path(loader.__file__).parent / "driftline.yaml"
MODEL = (
    "models:\n"
    "  m:\n"
    "    module: retrain.models.big_tipper\n"
    "    events: {topic: trips, key: trip_id}\n"
    "    labels: {topic: tips, key: trip_id}\n"
)


def refusal(folder: Path, content: str) -> str:
    file = folder / "driftline.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        loader.load(file, environment={})
    return str(refused.value)


def refusal_of(**environment: str) -> str:
    variables = {f"DRIFTLINE__{name}": value for name, value in environment.items()}
    with pytest.raises(ConfigurationError) as refused:
        loader.load(SHIPPED, environment=variables)
    return str(refused.value)


@pytest.mark.parametrize(
    "models",
    ["", "null", "abc", "[1, 2]", "&a [*a]", "1e400", "false", "!!set {a, b}", "2026-01-01", "{}"],
)
def test_models_that_are_no_mapping_are_refused_at_their_line(tmp_path: Path, models: str) -> None:
    assert refusal(tmp_path, f"models: {models}\n").startswith("driftline.yaml:1: models: ")


@pytest.mark.parametrize("model", ["", "abc", "[1]", "3", "!!set {a}"])
def test_a_model_that_is_no_mapping_is_refused_at_its_line(tmp_path: Path, model: str) -> None:
    assert refusal(tmp_path, f"models:\n  m: {model}\n").startswith("driftline.yaml:2: models.m: ")


@pytest.mark.parametrize("value", ["", "abc", "[]", "3", "null", "!!set {a}"])
def test_models_of_the_environment_that_are_no_mapping_name_the_variable(value: str) -> None:
    assert refusal_of(MODELS=value).startswith("DRIFTLINE__MODELS: models: ")


NOT_YAML = {
    "open bracket": "{a: [",
    "two colons": "a: b: c",
    "alias": "*a",
    "directive": "%x",
    "tab": "\t",
    "control character": "\x01",
    "object": "!!python/object:os.system x",
    "undecodable byte": "\udcff",
    "two documents": "---\n---\n",
    "contains itself": "&a [*a]",
    "deep mapping": "{" * 600,
    "deep list": "[" * 600 + "]" * 600,
    "long number": "9" * 5000,
    "impossible date": "2026-02-31",
    "bracket of a setting": "[",
}


@pytest.mark.parametrize("text", NOT_YAML.values(), ids=NOT_YAML)
@pytest.mark.parametrize(
    "name", ["KAFKA__BOOTSTRAP", "MODELS__X", "MODELS__BIG_TIPPER__DRIFT__MIN_ROWS", "NEW"]
)
def test_a_value_that_is_not_yaml_names_its_variable_on_one_line(name: str, text: str) -> None:
    message = refusal_of(**{name: text})
    assert f"DRIFTLINE__{name}: " in message
    assert "The value is not YAML: " in message
    assert len(message.splitlines()) == 1
    assert message.isprintable()


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("LOCAL__PORT_OFFSET__X", "LOCAL__PORT_OFFSET"),
        ("MODELS__BIG_TIPPER__ROLLOUT__STEPS__0", "MODELS__BIG_TIPPER__ROLLOUT__STEPS"),
        ("MODELS__BIG_TIPPER__EVENTS__TOPIC__X__Y", "MODELS__BIG_TIPPER__EVENTS__TOPIC"),
    ],
)
def test_a_variable_below_a_plain_value_is_refused(
    tmp_path: Path, name: str, variable: str
) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text(SHIPPED.read_text() + "local: {port_offset: 0}\n")
    with pytest.raises(ConfigurationError, match=rf"^DRIFTLINE__{name}: .* DRIFTLINE__{variable}"):
        loader.load(file, environment={f"DRIFTLINE__{name}": "1"})


def test_a_variable_below_an_empty_section_is_used(tmp_path: Path) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text(MODEL + "    predictions: null\nlocal:\n")
    settings = loader.load(
        file,
        environment={
            "DRIFTLINE__LOCAL__PORT_OFFSET": "100",
            "DRIFTLINE__MODELS__M__PREDICTIONS__TOPIC": "served",
        },
    )
    assert settings.local.port_offset == 100
    assert settings.models["m"].predictions is not None


@pytest.mark.parametrize("name", ["", "__", "LOCAL__", "__LOCAL", "NOPE__X", "KAFKA__BOOT__X"])
def test_a_variable_for_no_key_names_itself(name: str) -> None:
    assert refusal_of(**{name: "x"}).startswith(f"DRIFTLINE__{name}: ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("BIGTIPPER", "Did you mean big_tipper?"),
        ("BIG_TIPER", "Did you mean big_tipper?"),
        ("FRAUD", "A new model needs module, events, labels."),
    ],
)
def test_a_misspelt_model_in_the_environment_names_the_variable(name: str, hint: str) -> None:
    message = refusal_of(**{f"MODELS__{name}__RETRAIN__COOLDOWN": "5m"})
    assert message == (
        f"DRIFTLINE__MODELS__{name}__RETRAIN__COOLDOWN: models.{name.lower()}.retrain.cooldown: "
        f"The file has no model '{name.lower()}'. {hint}"
    )


def test_a_model_may_come_from_the_environment_alone() -> None:
    settings = loader.load(
        SHIPPED,
        environment={
            "DRIFTLINE__MODELS__M__MODULE": "retrain.models.big_tipper",
            "DRIFTLINE__MODELS__M__EVENTS": "{topic: a, key: k}",
            "DRIFTLINE__MODELS__M__LABELS": "{topic: b, key: k}",
        },
    )
    assert list(settings.models) == ["big_tipper", "m"]


DEEP_OR_LONG = {
    "mappings": "models: " + "{a: " * 500 + "1" + "}" * 500,
    "lists": "models: " + "[" * 600 + "]" * 600,
    "number": MODEL + f"    rollout: {{steps: [1, {'9' * 5000}, 100]}}\n",
    "negative number": f"models: -{'9' * 5000}",
    "open bracket": "models: [",
    "impossible date": "models: 2026-02-31",
}


@pytest.mark.parametrize("content", DEEP_OR_LONG.values(), ids=DEEP_OR_LONG)
def test_a_file_that_the_parser_cannot_hold_is_named(tmp_path: Path, content: str) -> None:
    assert "driftline.yaml is not YAML: " in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "key",
    [
        "window: {size: %}",
        "window: {max_out_of_orderness: %}",
        "rollout: {hold: %}",
        "rollout: {bake: %}",
        "rollout: {gates: {latency_p99: %}}",
        "quality: {horizon: %}",
        "retrain: {schedule: %}",
        "retrain: {budget: 1 per %}",
        "drift: {false_alarms: 1 per %}",
    ],
)
@pytest.mark.parametrize(
    "duration", ["9" * 400 + "s", "9" * 350 + "d", "9" * 5000 + "m", "1001000d"]
)
def test_a_duration_of_more_than_1000_years_is_refused(
    tmp_path: Path, key: str, duration: str
) -> None:
    message = refusal(tmp_path, MODEL + f"    {key.replace('%', duration)}\n")
    assert message.startswith("driftline.yaml:6: models.m.")
    assert "is longer than 1,000 years." in message


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\nb", "\u202eabc"])
def test_a_message_escapes_the_control_characters_of_a_key(name: str) -> None:
    message = refusal_of(MODELS=f"{{{name!r}: {{}}}}".replace("'", '"'))
    assert all(line.isprintable() for line in message.splitlines())


def test_a_mistake_of_the_environment_does_not_hide_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text(MODEL + "    rollout: {steps: [5, 1]}\nkafka: {bootstrap: x}\n")
    with pytest.raises(ConfigurationError) as refused:
        loader.load(file, environment={"DRIFTLINE__LOCAL__FOLDER": "["})
    places = [line.split(": ")[0] for line in str(refused.value).splitlines()]
    assert places == ["DRIFTLINE__LOCAL__FOLDER", "driftline.yaml:7", "driftline.yaml:6"]

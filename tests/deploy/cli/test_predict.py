"""`driftline predict`: rows are checked before they are sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.cli.commands.predict import to_instance
from deploy.cli.shared.command import UsageError
from deploy.config.yaml_text import parse_file
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import FeatureSpec
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.doubles import http_server
from tests.deploy.cli.runner import DEMO, data, run


def rows(*values: Any) -> list[str]:
    return ["predict", MODEL, "--rows", json.dumps(list(values))]


def test_predictions_come_from_envoy_with_missing_values_filled_in() -> None:
    received: list[Any] = []

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        received.append((method, path, body))
        return 200, {"predictions": [{"probabilities": [0.25]}]}

    with http_server(answer) as url:
        env = {"DRIFTLINE__ENDPOINTS__ENVOY": url}
        shown = data(run(*rows({"fare": 12.5, "payment_type": "Cash"}), "--json", env=env))
        table = run(*rows({"fare": 12.5}), env=env)
    assert shown["predictions"] == [0.25]
    assert "0.2500" in table.stdout
    method, path, body = received[0]
    assert (method, path) == ("POST", f"/v1/models/{MODEL}:predict")
    (instance,) = body["instances"]
    assert instance["fare"] == [12.5]
    assert set(instance) == {spec.name for spec in Deployment.load(DEMO).contract(MODEL).features}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"fares": 12.5}, "Row 1: big_tipper has no field fares. Did you mean fare?"),
        ({"zzz": 1}, "has no field zzz. It has "),
        ({"trip_start_hour": 2.7}, "trip_start_hour: 2.7 is not an integer."),
        ({"trip_start_hour": "2.7"}, "trip_start_hour: '2.7' is not an integer."),
        ({"trip_start_hour": True}, "trip_start_hour: True is not an integer."),
        ({"fare": "much"}, "fare: 'much' is not a number."),
        ({"fare": 1e999}, "fare: inf is not a number."),
        ({"payment_type": 7}, "payment_type: 7 is not a text."),
        ([1, 2], "Row 1 is not an object"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(row: Any, message: str) -> None:
    shown = run(*rows(row))
    assert shown.exit_code == 2
    assert message in shown.stderr


def test_whole_numbers_are_integers_in_any_notation(tmp_path: Path) -> None:
    received: list[Any] = []

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        received.append(body)
        return 200, {"predictions": [[0.5], [0.5]]}

    file = tmp_path / "rows.csv"
    file.write_text("trip_start_hour,fare\n7,\n8.0,3.5\n")
    with http_server(answer) as url:
        shown = run("predict", MODEL, str(file), env={"DRIFTLINE__ENDPOINTS__ENVOY": url})
    assert shown.exit_code == 0, shown.stderr
    hours = [instance["trip_start_hour"] for instance in received[0]["instances"]]
    assert hours == [[7], [8]]


def test_either_a_file_or_rows() -> None:
    assert run("predict", MODEL).exit_code == 2
    assert run("predict", MODEL, "x.csv", "--rows", "[]").exit_code == 2
    assert run("predict", MODEL, "--rows", "{").exit_code == 2
    assert run("predict", MODEL, "nowhere.csv").exit_code == 3


def test_an_absent_envoy_is_exit_8_and_an_error_of_the_server_exit_1() -> None:
    absent = run(*rows({}))
    assert absent.exit_code == 8
    assert "driftline up" in absent.stderr
    with http_server(lambda *_: (404, {"error": "[/x] no version"})) as url:
        shown = run(*rows({}), env={"DRIFTLINE__ENDPOINTS__ENVOY": url})
    assert shown.exit_code == 1
    assert "[/x] no version" in shown.stderr


def test_without_a_live_version_a_prediction_is_exit_3() -> None:
    answer = {"error": "Servable not found for request: Latest(big_tipper)"}
    with http_server(lambda *_: (404, answer)) as url:
        shown = run(*rows({}), env={"DRIFTLINE__ENDPOINTS__ENVOY": url})
    assert shown.exit_code == 3
    assert "NotFoundError: No version of big_tipper is live yet" in shown.stderr
    assert "`driftline rollout status big_tipper`" in shown.stderr


def test_the_newest_events_are_predicted_as_they_come(tmp_path: Path) -> None:
    settings: Any = parse_file(DEMO.read_text())[1]
    events = settings["models"][MODEL]["events"]
    events |= {"key": "trip.id", "key_from": "kafka-key", "time_format": "rfc3339"}
    events["fields"] = {"fare": "trip.fare"}
    file = tmp_path / "driftline.yaml"
    file.write_text(json.dumps(settings))
    log = MemoryLog()
    trip: dict[str, Any] = {
        "event_time": "2026-01-01T00:00:00Z",
        "trip": {"fare": 9.5},
        "payment_type": "Cash",
    }
    trip |= {"trip_miles": 1.0, "trip_seconds": 60}
    value = json.dumps(trip).encode()
    log.append_raw("taxi.trips", [(b"k1", value), (None, value), (b"k2", b"{")])
    received: list[Any] = []

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        received.append(body)
        return 200, {"predictions": [{"probabilities": [0.75]}]}

    with http_server(answer) as url:
        env = {"DRIFTLINE__ENDPOINTS__ENVOY": url}
        shown = run("predict", MODEL, "--last", "3", log=log, config=file, env=env)
    assert "0.7500" in shown.stdout
    assert "2 of 3 events cannot be used" in shown.stderr
    assert [row["fare"] for row in received[0]["instances"]] == [[9.5]]
    none = run("predict", MODEL, "--last", "1", log=MemoryLog(), config=file)
    assert none.exit_code == 3
    assert run("predict", MODEL, "--last", "1", "--rows", "[]", config=file).exit_code == 2


def test_a_list_is_sent_as_its_values_one_a_line() -> None:
    tags = FeatureSpec(name="tags", kind="text", categorical=True, multivalent=True)
    contract = replace(Deployment.load(DEMO).contract(MODEL), features=(tags,))
    row = {"tags": ["wifi", "bar", None, "wifi"]}
    assert to_instance(row, contract, 1) == {"tags": ["bar\nwifi"]}
    assert to_instance({"tags": "bar"}, contract, 1) == {"tags": ["bar"]}
    assert to_instance({"tags": []}, contract, 1) == {"tags": [""]}
    with pytest.raises(UsageError, match="Row 1: tags needs a list of at most 100 texts"):
        to_instance({"tags": [["bar"]]}, contract, 1)

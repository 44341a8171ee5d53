"""A project guessed of a topic: JSON values, labels of another topic, and what cannot be used."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from deploy.project.topic_guess import guess_topic
from streaming.contracts.errors import ConfigurationError, NotFoundError
from streaming.contracts.log import MemoryLog

ROWS = 400


def event(number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "order": f"o-{number}",
        "event_time": 1_770_000_000.5 + number,
        "fee": chance.uniform(1, 90),
        "visits": chance.randint(0, 300),
        "plan": chance.choice(["basic", "pro"]),
        "postcode": str(chance.choice([1067, 80331, 20095])),
        "active": chance.choice([True, False]),
        "address": {"city": chance.choice("ab")},
        "tags": ["a", "b"][: chance.randint(1, 2)],
        "grösse": chance.uniform(1, 2),
    }


def filled(*, with_label: bool = False, labels: int = ROWS) -> MemoryLog:
    log, chance = MemoryLog(), random.Random(2)
    rows = [event(number, chance) for number in range(ROWS)]
    outcomes = {row["order"]: chance.choice(["yes", "no"]) for row in rows}
    if with_label:
        rows = [{**row, "churned": outcomes[row["order"]]} for row in rows]
    log.append_raw("orders", [(None, json.dumps(row).encode()) for row in rows])
    log.append_raw("orders", [(None, b"not json"), (None, b"[1, 2]")])
    known = [{"order": order, "churned": value} for order, value in outcomes.items()][:labels]
    log.append_raw("outcomes", [(None, json.dumps(row).encode()) for row in known])
    return log


def test_the_kinds_are_those_of_the_json_values() -> None:
    project = guess_topic(filled(with_label=True), "orders")
    guess = project.data.guess
    kinds = {feature.name: feature.kind for feature in guess.features}
    assert kinds == {
        "fee": "number",
        "visits": "integer",
        "plan": "text",
        "postcode": "text",
        "active": "integer",
        "address_city": "text",
        "tags": "text",
        "groesse": "number",
    }
    assert (guess.key, guess.time, guess.time_form) == ("order", "event_time", "s")
    assert guess.label.name == "churned"
    rules = {rule.name: (rule.path, rule.rule) for rule in project.contract.events.fields}
    assert rules == {
        "active": ("active", "boolean"),
        "address_city": ("address.city", "value"),
        "tags": ("tags", "categories"),
        "groesse": ("grösse", "value"),
    }


def test_what_cannot_be_a_feature_says_why() -> None:
    log, chance = MemoryLog(), random.Random(3)
    rows = [
        event(number, chance)
        | {
            "mixed": chance.choice([1, "a"]),
            "sometimes": chance.choice([{"a": 1}, 2]),
            "big": 2**63 + number,
            "empty": {},
            "objects": [{"a": 1}],
            "note": "the same",
            "priced": f"${chance.uniform(1, 900):,.2f}",
            "churned": chance.choice([True, False]),
        }
        for number in range(ROWS)
    ]
    log.append_raw("orders", [(None, json.dumps(row).encode()) for row in rows])
    log.append_raw("orders", [(None, b"not json"), (None, b"[1, 2]")])
    project = guess_topic(log, "orders")
    reasons = {column.name: column.reason for column in project.data.guess.unused}
    assert "several types" in reasons["mixed"]
    assert "several types" in reasons["sometimes"]
    assert "several types" in reasons["big"]
    assert "without fields" in reasons["empty"]
    assert "no categories, and all have the same length" in reasons["objects"]
    assert "constant" in reasons["note"]
    assert "no rule reads as a number" in reasons["priced"]
    assert project.data.notes[0] == "2 message(s) are no JSON objects."
    assert not project.trial.refused


def test_labels_of_another_topic_are_joined_by_the_field_they_share() -> None:
    log = filled(labels=300)
    project = guess_topic(log, "orders", labels_topic="outcomes", label="churned")
    assert project.data.guess.key == "order"
    assert project.data.guess.rows == len(project.trial.events) == 300
    label = project.label.guess
    assert (label.task, label.classes, label.truth) == ("binary", ("yes", "no"), None)


def test_a_topic_that_cannot_be_used_is_refused() -> None:
    log = filled()
    with pytest.raises(NotFoundError, match="has no messages"):
        guess_topic(log, "none")
    with pytest.raises(ConfigurationError, match="No column looks like a label"):
        guess_topic(log, "orders")
    with pytest.raises(ConfigurationError, match="No label record has the field 'left'"):
        guess_topic(log, "orders", labels_topic="outcomes", label="left")
    log.append_raw("others", [(None, b'{"id": "x", "churned": "yes"}')])
    with pytest.raises(ConfigurationError, match="no field in common"):
        guess_topic(log, "orders", labels_topic="others", label="churned")
    log.append_raw("text", [(None, b"hello")])
    with pytest.raises(ConfigurationError, match="None of 1 messages"):
        guess_topic(log, "text")

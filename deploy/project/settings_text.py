"""``driftline.yaml`` of a new project. Pure."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any

from deploy.project.guess import DEFAULT_KEY, DEFAULT_TIME, ProjectGuess
from streaming.contracts.mapping import FieldRule, RecordMapping, is_flat, parts
from streaming.contracts.model import ModelContract

WIDTH = 96

MIN_ROWS, MAX_ROWS = 500, 5_000
"""Bounds of the labelled rows that a training waits for, unless a class is rare."""
RARE_ROWS = 20
"""Rows of the rarest class that a training waits for, unless `MAX_RARE_ROWS` rows have fewer."""
MAX_RARE_ROWS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topics of a model."""

    events: str
    labels: str
    predictions: str
    contract: ModelContract | None = None
    """How events and labels are read; None for flat JSON with times in seconds."""
    labels_key: str = ""
    """Path of the labels' key; empty where labels have no topic yet."""
    registry: str = ""
    """Address of the schema registry; empty for none."""


def topics_of(model: str) -> Topics:
    """The topics of a model that has none yet."""
    return Topics(
        events=f"{model}.events", labels=f"{model}.labels", predictions=f"{model}.predictions"
    )


def training_rows(guess: ProjectGuess) -> int:
    """The labelled rows that a training waits for: as many as the data have, within bounds, and
    enough of each class to learn and to evaluate it."""
    usual = max(MIN_ROWS, min(MAX_ROWS, guess.rows))
    return max(usual, min(MAX_RARE_ROWS, math.ceil(RARE_ROWS / guess.label.rarest)))


def settings_text(model: str, package: str, guess: ProjectGuess, topics: Topics) -> str:
    """``driftline.yaml``: a quick rhythm, with which the whole circle takes minutes."""
    rows = training_rows(guess)
    max_rows = 8 * rows if rows <= MAX_ROWS else max(8 * MAX_ROWS, 2 * rows)
    registry = f"registry: {{url: {topics.registry}}}\n" if topics.registry else ""
    return f"""# Written by `driftline init`. `driftline config explain` says what each key means.
code: .                    # this folder holds the package {package}
{registry}models:
  {model}:
    module: {package}
{_topics(guess, topics)}
    # A rhythm for trying out: minutes instead of hours. For production take windows of a minute or
    # more, `approval: before-canary`, and the defaults of retrain and rollout.
    window: {{size: 5s, max_out_of_orderness: 1s}}
    drift: {{false_alarms: 1 per 30d, effect: {{suspected: 0.25, drifted: 0.5}}, sustained: 3 of 5}}
    retrain: {{cooldown: 20s, budget: 10 per 1d, min_labelled_rows: {rows}, max_rows: {max_rows}}}
    rollout:
      steps: [5, 10, 25, 50, 100]
      hold: 10s
      approval: never
      deadline: 10m
      bake: 15s
      bake_weight: 25
local: {{folder: {package}}}
"""


def _topics(guess: ProjectGuess, topics: Topics) -> str:
    """The sections of the three topics."""
    contract = topics.contract
    flat = contract is None or is_flat(contract.events, key=contract.key, time=contract.time)
    if contract is None or (flat and contract.labels in (RecordMapping(), _PLAIN_LABELS)):
        return f"""    events: {{topic: {topics.events}, key: {guess.key}, time: {guess.time}}}
    labels: {{topic: {topics.labels}, key: {guess.key}, mature_after: 3s}}
    predictions: {{topic: {topics.predictions}}}"""
    return _indented(
        {
            "events": _events(contract, topics),
            "labels": _labels(contract, topics),
            "predictions": _predictions(contract, topics, flat=flat),
        }
    )


_PLAIN_LABELS = RecordMapping(time_format="none")


def _events(contract: ModelContract, topics: Topics) -> dict[str, Any]:
    mapping = contract.events
    section: dict[str, Any] = {"topic": topics.events}
    if mapping.format != "json":
        section["format"] = mapping.format
    section |= _key(contract.key, mapping) | {"time": contract.time}
    if mapping.time_format != "s":
        section["time_format"] = mapping.time_format
    return section | _fields(mapping.fields)


def _labels(contract: ModelContract, topics: Topics) -> dict[str, Any]:
    mapping = contract.labels
    section: dict[str, Any] = {"topic": topics.labels}
    if mapping.format != "json":
        section["format"] = mapping.format
    key = topics.labels_key or _flat_name(contract.key, DEFAULT_KEY)
    section |= _key(key, mapping)
    if key != contract.key:
        section["key_from"] = mapping.key_from  # says that the other name is meant
    return section | {"mature_after": "3s"} | _fields(mapping.fields)


def _predictions(contract: ModelContract, topics: Topics, *, flat: bool) -> dict[str, Any]:
    """Predictions are flat JSON, whatever the events are."""
    section: dict[str, Any] = {"topic": topics.predictions}
    if flat:
        return section
    key = _flat_name(contract.key, DEFAULT_KEY)
    more = {"key_from": "field", "time": DEFAULT_TIME, "time_format": "s"}
    return section | {"key": key} | more


def _key(path: str, mapping: RecordMapping) -> dict[str, Any]:
    more = {} if mapping.key_from == "field" else {"key_from": mapping.key_from}
    return {"key": path, **more}


def _flat_name(path: str, default: str) -> str:
    """The last name of a path that is a field; the default for an attribute of a CloudEvent."""
    name = parts(path)[-1]
    return default if name.startswith("ce_") or "." in name else name


def _fields(rules: tuple[FieldRule, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {
        rule.name: rule.path if rule.rule == "value" else {"path": rule.path, "rule": rule.rule}
        for rule in rules
    }
    return {"fields": fields} if fields else {}


def _indented(sections: dict[str, Any]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    def styled(value: Any, name: str) -> Any:
        if not isinstance(value, dict):
            return value
        node = CommentedMap((key, styled(item, key)) for key, item in value.items())
        if name not in ("", "events", "labels", "predictions", "fields"):
            node.fa.set_flow_style()
        return node

    yaml, target = YAML(), io.StringIO()
    yaml.width = 4096
    yaml.dump(styled(sections, ""), target)
    return "\n".join(f"    {line}" for line in target.getvalue().rstrip().splitlines())

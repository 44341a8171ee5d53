"""The label of a topic's records: the task by its values, and how a label record is read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploy.project.column_rules import ColumnGuess
from deploy.project.label_rules import guess_label
from deploy.project.label_tasks import LabelGuess, NoLabel, TaskKind
from deploy.project.profile import ColumnProfile
from deploy.project.topic_columns import PathColumn
from deploy.project.topic_rules import is_decimal
from streaming.contracts.errors import ConfigurationError, DecodeError
from streaming.contracts.mapper import MappedField, Mapper, mapper
from streaming.contracts.mapping import FieldRule, RecordMapping, Rule
from streaming.contracts.model import FeatureKind, FeatureSpec, ModelContract


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicLabel:
    """The label, and how its field is read."""

    guess: LabelGuess
    spec: FeatureSpec
    rule: FieldRule | None
    """None where it is a plain field of the outermost object with its own name."""

    def value(self, raw: Any) -> Any:
        """The label as a label record is read; None where it is missing or not readable."""
        if self.rule is None:
            return raw
        contract = ModelContract(
            model="", module="", events_topic="", labels_topic="", key="", time="",
            features=(self.spec,),
        )  # fmt: skip
        compiled = mapper(contract, RecordMapping(fields=(replace_path(self.rule),)))
        assert isinstance(compiled, Mapper)
        field: MappedField = compiled.fields[0]
        try:
            return field.value({"value": raw})
        except DecodeError:
            return None


def replace_path(rule: FieldRule) -> FieldRule:
    """The rule for a value that was looked up already."""
    return FieldRule(name=rule.name, path="value", rule=rule.rule)


def label_of(
    columns: Sequence[PathColumn],
    profiles: Sequence[ColumnProfile],
    guesses: Mapping[str, ColumnGuess],
    *,
    named: str | None,
    task: TaskKind | None,
) -> TopicLabel:
    """The label, by its path, its name or by what it looks like; raises `ConfigurationError`."""
    chosen = guess_label(profiles, guesses, named=named, task=task)
    if isinstance(chosen, NoLabel):
        raise ConfigurationError(chosen.reason)
    (column,) = (column for column in columns if column.name == chosen.name)
    (profile,) = (profile for profile in profiles if profile.name == chosen.name)
    guess, kind, rule = _as_written(chosen, column, profile)
    needs_rule = rule != "value" or column.nested or column.path != column.name
    field_rule = FieldRule(name=column.name, path=column.path, rule=rule) if needs_rule else None
    spec = FeatureSpec(name=column.name, kind=kind, categorical=guess.task != "regression")
    return TopicLabel(guess=guess, spec=spec, rule=field_rule)


def _as_written(
    guess: LabelGuess, column: PathColumn, profile: ColumnProfile
) -> tuple[LabelGuess, FeatureKind, Rule]:
    """The label by the kind of its values: its guess, its kind as a feature, and its rule."""
    match guess.task, column.kind:
        case "binary", "boolean":
            return guess, "integer", "boolean"
        case "binary", "integer" if guess.truth == ("1", "0"):
            return guess, "integer", "value"
        case ("binary", "text") if guess.truth is not None and profile.distinct == 2:
            true = guess.truth[0]
            positive = max(profile.values, key=lambda value: value.lower() == true)
            other = next(value for value in profile.values if value != positive)
            return replace(guess, truth=None, classes=(positive, other)), "text", "value"
        case (("binary" | "multiclass"), "text") if guess.truth is None:
            return guess, "text", "value"
        case "multiclass", "integer":
            return guess, "integer", "value"
        case "regression", ("integer" | "number"):
            return guess, "number", "value"
        case ("regression", "text") if all(is_decimal(value) for value in profile.values):
            return guess, "number", "decimal"
    raise ConfigurationError(
        f"{column.path} holds {column.kind} values ({profile.examples()}, …); a label of a "
        f"{guess.task} task is "
        + {
            "binary": "true or false, 1 or 0, or one of two texts, each in one spelling.",
            "multiclass": "a text or a whole number.",
            "regression": "a number, or one written as text with a point, such as 12.50.",
        }[guess.task]
    )

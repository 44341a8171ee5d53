"""The rules between a model's code, its schema and its settings, each violation with its place.

This part of `driftline model check` imports the contract only: no TensorFlow.
"""

from __future__ import annotations

import ast
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.config.settings import ModelSettings
from deploy.project.headers import is_usable
from deploy.project.model_sources import (
    ContractSource,
    SourceLine,
    file_of,
    function_of,
    schema_place,
)
from retrain.models.code import ModelCode, load_code
from retrain.ports import AFTER_SHIFT
from streaming.contracts.errors import ConfigurationError

_TYPES = {"integer": "INT", "number": "FLOAT", "text": "BYTES"}


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that a model breaks."""

    rule: str
    """Short name of the rule."""
    place: str
    """File and line."""
    message: str
    """What was found, what is needed, what to do."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model whose contract could be imported."""

    code: ModelCode
    settings: ModelSettings
    source: ContractSource


def model_violations(settings: ModelSettings) -> list[Violation]:
    """Every rule that a model breaks, as far as it can be told without TensorFlow."""
    module = settings.module
    try:
        code = load_code(module)
    except ConfigurationError as error:
        return [Violation("import", _import_place(module, error), str(error))]
    source = ContractSource.of(module)
    if source is None:  # a contract that has no text of its own, such as one from a zip file
        return []
    subject = Subject(code, settings, source)
    return [violation for rule in _RULES for violation in rule(subject)]


def _import_place(module: str, error: ConfigurationError) -> str:
    """Where the import failed: the last line of a file beside the contract, else the contract."""
    file = file_of(f"{module}.contract")
    cause = error.__cause__
    if isinstance(cause, SyntaxError) and cause.filename:
        return str(SourceLine(Path(cause.filename), cause.lineno or 1))
    if file is None:
        return module
    own = place_in(cause, file.parent)
    source = ContractSource.of(module)
    if own is None and cause is None and source is not None:  # the task contradicts itself
        own = source.keyword("task")
    return str(own or SourceLine(file))


def place_in(error: BaseException | None, folder: Path) -> SourceLine | None:
    """The innermost line below `folder` in the traces of an error and of its causes."""
    innermost = None
    while error is not None:
        for frame in traceback.extract_tb(error.__traceback__):
            if Path(frame.filename).is_relative_to(folder):
                innermost = SourceLine(Path(frame.filename), frame.lineno or 1)
        error = error.__cause__ or error.__context__
    return innermost


# ----------------------------------------------------------------------------- contract


def _features(subject: Subject) -> Iterator[Violation]:
    names = Counter(feature.name for feature in subject.code.features)
    if not names:
        place = str(subject.source.keyword("features"))
        yield Violation("features", place, "The contract has no features; list at least one.")
    events = subject.settings.events
    reserved = {
        events.key: "the key of the events",
        events.time: "the time of the events",
        subject.code.label: "the label",
        AFTER_SHIFT: "a mark of training examples",
        **dict.fromkeys(subject.code.label_columns, "a column of the label, unknown when serving"),
    }
    for name, count in names.items():
        place = str(subject.source.text(name))
        if count > 1:
            yield Violation("features", place, f"{name} is listed {count} times; list it once.")
        if name in reserved:
            yield Violation("features", place, f"{name} is {reserved[name]}; it is no feature.")
        elif not is_usable(name):
            yield Violation(
                "features",
                place,
                f"{name!r} cannot be the name of a tensor; use letters, digits, _.",
            )


def _label(subject: Subject) -> Iterator[Violation]:
    code, source = subject.code, subject.source
    if not code.label_columns:
        place = str(source.keyword("label_columns"))
        yield Violation("label", place, "No field of a label record is named; name at least one.")
    if code.label in code.label_columns:
        yield Violation(
            "label",
            str(source.keyword("label")),
            f"{code.label} is a column of the label record; the label of preprocessing_fn needs a "
            f"name of its own, for example {code.label}_label.",
        )
    if subject.settings.predictions is not None and code.outcome is None:
        yield Violation(
            "label",
            str(source.keyword("outcome")),
            "The settings name a predictions topic, but the contract has no `outcome`, so quality "
            "cannot be measured. Add the function, or remove `predictions`.",
        )


def _slices(subject: Subject) -> Iterator[Violation]:
    known = {feature.name for feature in subject.code.features}
    for name in subject.code.slices:
        if name not in known:
            place = str(subject.source.keyword("slices"))
            yield Violation("slices", place, f"The slice {name} is no feature.")


def _functions(subject: Subject) -> Iterator[Violation]:
    code, source = subject.code, subject.source
    named = {"preprocessing_fn": (code.preprocessing_fn, 1)}
    if code.run_fn:
        named["run_fn"] = (code.run_fn, 1)
    elif code.build_model:
        named["build_model"] = (code.build_model, 2)
    else:
        yield Violation(
            "functions",
            str(source.keyword("build_model")),
            "The contract names neither build_model nor run_fn; name a function that builds a net.",
        )
    for name, (path, arguments) in named.items():
        located = function_of(path)
        if located is None:
            place = str(source.keyword(name))
            yield Violation("functions", place, f"{name}: there is no module for {path}.")
        elif located[1] is None:
            yield Violation(
                "functions", str(located[0]), f"{name}: this file defines no {path.split('.')[-1]}."
            )
        elif not _takes(located[1], arguments):
            yield Violation(
                "functions",
                str(located[0]),
                f"{name} is called with {arguments} argument(s); this one cannot be.",
            )


def _takes(function: ast.FunctionDef, count: int) -> bool:
    given = function.args
    positional = len(given.posonlyargs) + len(given.args)
    required = positional - len(given.defaults)
    return required <= count and (positional >= count or given.vararg is not None)


# ------------------------------------------------------------------------------- schema


def _schema(subject: Subject) -> Iterator[Violation]:
    from streaming.engines.tfdv import schema_text

    file = subject.code.schema
    try:
        text = schema_text.read_text(file)
        proto = schema_text.parse(schema_text.checked(text, str(file)), str(file))
    except ConfigurationError as error:
        place = str(SourceLine(file)) if file.exists() else str(subject.source.keyword("schema"))
        yield Violation("schema", place, str(error))
        return
    columns = {column.name: column for column in proto.feature}
    yield from _features_in_schema(subject, columns)
    yield from _label_in_schema(subject, columns)
    if AFTER_SHIFT not in columns:
        yield Violation(
            "schema",
            str(SourceLine(file)),
            f"The column {AFTER_SHIFT} of training examples is missing: type INT, "
            'not_in_environment: "SERVING".',
        )


def _features_in_schema(subject: Subject, columns: dict[str, Any]) -> Iterator[Violation]:
    file = subject.code.schema
    for feature in subject.code.features:
        column = columns.get(feature.name)
        if column is None:
            place = str(subject.source.text(feature.name))
            yield Violation(
                "schema", place, f"{feature.name} is not in {file.name}; add it with its type."
            )
        elif _type_name(column) != _TYPES[feature.kind]:
            yield Violation(
                "schema",
                str(schema_place(file, feature.name)),
                f"{feature.name} is {_type_name(column)} here, but kind {feature.kind!r} in the "
                f"contract, which is {_TYPES[feature.kind]}.",
            )


def _label_in_schema(subject: Subject, columns: dict[str, Any]) -> Iterator[Violation]:
    file = subject.code.schema
    for name in subject.code.label_columns:
        column = columns.get(name)
        place = str(schema_place(file, name))
        if column is None or _type_name(column) not in _TYPES.values():
            yield Violation(
                "schema", place, f"The label's column {name} needs a type: INT, FLOAT or BYTES."
            )
        elif "SERVING" not in column.not_in_environment:
            yield Violation(
                "schema",
                place,
                f"Events do not have the label's column {name}; add "
                'not_in_environment: "SERVING" to it.',
            )


def _type_name(column: Any) -> str:
    from tensorflow_metadata.proto.v0 import schema_pb2

    return str(schema_pb2.FeatureType.Name(column.type))


_RULES: tuple[Callable[[Subject], Iterator[Violation]], ...] = (
    _features,
    _label,
    _slices,
    _functions,
    _schema,
)

"""The files of a new project, as text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deploy.project.column_rules import ColumnGuess
from deploy.project.guess import ProjectGuess
from deploy.project.label_tasks import LabelGuess

WIDTH = 96
"""Longest line of the files."""


def contract_text(model: str, package: str, guess: ProjectGuess) -> str:
    """``contract.py``: features, label, task and where the code lies."""
    groups = _groups(guess)
    constants = "\n".join(_constant(name, fields) for name, _, fields in groups)
    features = "\n".join(_specs(name, arguments) for name, arguments, _ in groups)
    return f'''"""What {model} reads and predicts."""

from pathlib import Path

from retrain.models.code import ModelCode
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

{constants}
FEATURES = (
{features}
)
{_label_constants(guess.label)}

def outcome(fields):
    """The label of a label record; None where it has none."""
    value = fields.get(LABEL)
    return None if value is None else {_outcome(guess.label)}


CODE = ModelCode(
    features=FEATURES,
    schema=Path(__file__).with_name("schema.pbtxt"),
    task={_task(guess.label)},
    preprocessing_fn="{package}.preprocessing.preprocessing_fn",
    build_model="{package}.model.build_model",
    label=f"{{LABEL}}_label",
    label_columns=(LABEL,),
    outcome=outcome,
)
'''


def preprocessing_text(package: str, label: LabelGuess) -> str:
    """``preprocessing.py``: data columns to the net's columns and the label."""
    positive = label.task == "binary" and label.truth is None
    names = "CODE, LABEL, POSITIVE" if positive else "CODE, LABEL"
    target = (
        'tf.cast(tabular.dense(inputs[LABEL], "") == POSITIVE, tf.int64)'
        if positive
        else "tabular.label(inputs[LABEL], CODE.task)"
    )
    tensorflow = "import tensorflow as tf\n\n" if positive else ""
    return f'''"""Turns columns of the data into columns of the net (TFX Transform)."""

{tensorflow}from {package}.contract import {names}
from retrain.models import tabular


def preprocessing_fn(inputs):
    """The net's columns, and the label.

    Numbers become standard scores and a flag for missing ones, categories become hash buckets. Add
    a column of your own to `columns`, for example a ratio of two inputs.
    """
    columns = tabular.columns(inputs, CODE.features)
    label = {target}
    return columns | {{CODE.label: label}}
'''


def model_text(package: str) -> str:
    """``model.py``: the net."""
    return f'''"""The net. Driftline trains, exports and serves what `build_model` returns."""

from {package}.contract import CODE
from retrain.models import tabular


def build_model(inputs, hyperparameters):
    """An untrained Keras model over `inputs`, a Keras input for each column of the net."""
    return tabular.build_model(inputs, hyperparameters, CODE.task)
'''


def test_text(model: str, package: str, guess: ProjectGuess, label_value: object) -> str:
    """``tests/test_MODEL.py``: the contract reads a label, and the settings fit the code."""
    shown = _quoted(label_value) if isinstance(label_value, str) else repr(label_value)
    expected = {"binary": "in (0, 1)", "multiclass": "in CODE.task.classes"}.get(
        guess.label.task, "is not None"
    )
    return f'''"""What must hold of {model}, whatever is changed."""

from pathlib import Path

from deploy.config import loader
from {package}.contract import CODE, LABEL, outcome

SETTINGS = Path(__file__).parents[1] / "driftline.yaml"


def test_the_label_of_a_record_is_read():
    assert outcome({{LABEL: {shown}}}) {expected}
    assert outcome({{}}) is None


def test_no_label_is_a_feature():
    assert LABEL not in [feature.name for feature in CODE.features]


def test_the_settings_fit_the_code():
    assert loader.load(SETTINGS, contracts=True).models
'''


def user_lines(files: Iterable[str]) -> int:
    """Lines of Python that are not empty."""
    return sum(bool(line.strip()) for text in files for line in text.splitlines())


def _groups(guess: ProjectGuess) -> list[tuple[str, str, list[str]]]:
    """Constant's name, arguments of its `FeatureSpec`s, and its fields, where it has any."""
    kinds = (
        ("NUMBERS", 'kind="number"', "number", False),
        ("WHOLE_NUMBERS", 'kind="integer"', "integer", False),
        ("CODES", 'kind="integer", categorical=True', "integer", True),
        ("CATEGORIES", 'kind="text", categorical=True', "text", True),
        ("LISTS", 'kind="text", categorical=True, multivalent=True', "list", True),
    )
    groups = []
    for judged, prefix, more in ((True, "", ""), (False, "CALENDAR_", ", judged=False")):
        for name, arguments, kind, categorical in kinds:
            group = (kind, categorical, judged)
            fields = [f.name for f in guess.features if _group_of(f) == group]
            if fields:
                groups.append((prefix + name, arguments + more, fields))
    return groups


def _group_of(guess: ColumnGuess) -> tuple[str, bool, bool]:
    """Kind, whether categorical, whether judged: the constant that names a feature."""
    kind = "list" if guess.multivalent else guess.kind
    return (kind, guess.categorical, guess.judged)


def _specs(name: str, arguments: str) -> str:
    """The features of a constant, on as few lines as fit."""
    spec, names = f"FeatureSpec(name=name, {arguments})", f"for name in {name}"
    line = f"    *({spec} {names}),"
    return line if len(line) <= WIDTH else f"    *(\n        {spec}\n        {names}\n    ),"


def _constant(name: str, fields: Sequence[str]) -> str:
    """A tuple of names, on as few lines as fit.

    >>> print(_constant("CODES", ["plan", "region"]))
    CODES = ("plan", "region")
    """
    listed = ", ".join(f'"{field}"' for field in fields)
    line = f"{name} = ({listed}{',' if len(fields) == 1 else ''})"
    if len(line) <= WIDTH:
        return line
    wrapped = _wrapped((f'"{field}"' for field in fields), 4)
    return f"{name} = (\n{wrapped}\n)"


def _wrapped(items: Iterable[str], indent: int) -> str:
    """Items with commas, on as few lines as fit; an item is never broken.

    >>> print(_wrapped(['"a b"', '"c"'], 4))
        "a b", "c",
    """
    lines = [""]
    for item in items:
        if lines[-1] and indent + len(lines[-1]) + len(item) + 2 > WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{item},"
    return "\n".join(" " * indent + line for line in lines)


def _label_constants(label: LabelGuess) -> str:
    lines = [f"LABEL = {label.name!r}".replace("'", '"')]
    if label.task == "binary" and label.truth is None:
        lines.append(
            f"POSITIVE = {_quoted(label.classes[0])}  # predicted; the other: "
            f"{' '.join(label.classes[1].split())}"
        )
    return "\n".join(lines) + "\n"


def _outcome(label: LabelGuess) -> str:
    if label.task == "binary":
        return "bool(value)" if label.truth is not None else "value == POSITIVE"
    return "float(value)" if label.task == "regression" else "str(value)"


def _task(label: LabelGuess) -> str:
    if label.task == "binary":
        return 'Task(kind="binary")'
    if label.task == "multiclass":
        names = [_quoted(name) for name in label.classes]
        one_line = f'Task(kind="multiclass", classes=({", ".join(names)}))'
        if len(one_line) < WIDTH - 10:
            return one_line
        classes = _wrapped(names, 12)
        return f'Task(\n        kind="multiclass",\n        classes=(\n{classes}\n        ),\n    )'
    loss = ', loss="poisson"' if label.counts else ""
    return f'Task(kind="regression"{loss})'


def _quoted(text: str) -> str:
    """A Python literal in double quotes.

    >>> print(_quoted('say "no"'))
    'say "no"'
    """
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in literal else literal

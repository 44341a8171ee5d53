"""Makes a project of data: guess, schema, files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from deploy.project.csv_file import open_csv
from deploy.project.csv_guess import DataGuess, guess_csv
from deploy.project.guess import ProjectGuess
from deploy.project.label_tasks import TaskKind
from deploy.project.sampling import sample_of
from deploy.project.settings_text import Topics
from deploy.project.values import (
    Convert,
    Value,
    convert,
    feature_converter,
    feature_spec,
    label_converter,
    label_spec,
)
from deploy.project.writer import project_files
from retrain.ports import AFTER_SHIFT
from streaming.contracts.model import FeatureSpec

SCHEMA_ROWS = 2_000
"""Smallest number of rows from which the schema of a larger file is inferred."""


def converters(guess: ProjectGuess) -> dict[str, Convert]:
    """How the cells of each feature, and of the label, become values."""
    features = {feature.name: feature_converter(feature) for feature in guess.features}
    return {**features, guess.label.name: label_converter(guess.label)}


def csv_project(
    model: str, package: str, path: Path, *, label: str | None, task: TaskKind | None
) -> tuple[DataGuess, dict[str, str]]:
    """The guess of a CSV file, and the files of the project."""
    data = guess_csv(path, label=label, task=task, now=time.time())
    cells = sample_of(open_csv(path).blocks(), SCHEMA_ROWS).columns()
    return data, files_of(model, package, data.guess, convert(cells, converters(data.guess)))


def files_of(
    model: str,
    package: str,
    guess: ProjectGuess,
    sample: dict[str, list[Value]],
    topics: Topics | None = None,
) -> dict[str, str]:
    """The files of the project; the schema is inferred from the sample, converted to values."""
    specs = [feature_spec(feature) for feature in guess.features]
    return files_with(model, package, guess, sample, specs, label_spec(guess.label), topics)


def files_with(
    model: str,
    package: str,
    guess: ProjectGuess,
    sample: dict[str, list[Value]],
    features: Sequence[FeatureSpec],
    label: FeatureSpec,
    topics: Topics | None,
) -> dict[str, str]:
    """The files of a project whose features and label are read as these specs say."""
    from streaming.engines.tfdv.inference import infer_schema

    flag = FeatureSpec(name=AFTER_SHIFT, kind="integer")
    schema = infer_schema(sample, features, label, [flag])
    example = next(value for value in sample[guess.label.name] if value is not None)
    return project_files(model, package, guess, schema, example, topics)

"""The files of a new project: valid, readable, short, and never written over others."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.config import loader
from deploy.project import texts
from deploy.project.csv_guess import guess_csv
from deploy.project.settings_text import settings_text, topics_of, training_rows
from deploy.project.shown import decided
from deploy.project.writer import package_name, project_files, refuse_existing, write_project
from retrain.models.code import load_code
from streaming.contracts.errors import ConfigurationError, Conflict
from tests.deploy.project.files import Cell, choice, decimal, whole, written

SCHEMA = 'default_environment: "SERVING"\n'
FEATURES = [("fee", decimal(1, 9)), ("plan", choice("a b", "c")), ("visits", whole(0, 400))]
LABELS: dict[str, Cell] = {
    "churned": choice("yes", "no"),
    "risk": choice("good", "bad"),
    "queue": choice("a 'b'", 'say "no"', "back\\slash", *(f"very long name {i}" for i in range(9))),
    "price": decimal(10, 99),
    "demand": whole(0, 60),
}


def project(folder: Path, model: str, label: str, columns: int = 0) -> tuple[Path, dict[str, str]]:
    """A written project; returns its driftline.yaml and its files."""
    more = [(f"x{number}", decimal(0, 1)) for number in range(columns)]
    data = written(folder / "data.csv", [*FEATURES, *more, (label, LABELS[label])], 300)
    package = package_name(model, folder)
    guess = guess_csv(data).guess
    assert guess.label.name == label
    value = {"churned": 1, "risk": "bad", "queue": "a 'b'"}.get(label, 7.5)
    files = project_files(model, package, guess, SCHEMA, value)
    write_project(folder, files)
    return folder / "driftline.yaml", files


@pytest.mark.parametrize("label", LABELS)
def test_the_contract_can_be_loaded_and_reads_labels(tmp_path: Path, label: str) -> None:
    model = f"written-{label}"
    settings = loader.load(project(tmp_path, model, label)[0], environment={}, contracts=True)
    code = load_code(settings.models[model].module)
    assert [feature.name for feature in code.features] == ["fee", "visits", "plan"]
    raw, expected = {
        "churned": (1, True),
        "risk": ("bad", True),
        "queue": ("back\\slash", "back\\slash"),
        "price": (7.5, 7.5),
        "demand": (3, 3.0),
    }[label]
    assert code.outcome is not None
    assert code.outcome({label: raw}) == expected
    assert code.outcome({}) is None
    if label == "queue":
        assert set(code.task.classes) >= {"a 'b'", 'say "no"', "back\\slash"}


def test_a_wide_project_has_less_than_100_lines_of_code(tmp_path: Path) -> None:
    _, files = project(tmp_path, "wide", "churned", columns=57)
    python = {name: text for name, text in files.items() if name.endswith(".py")}
    assert texts.user_lines(python.values()) < 100
    for name, text in python.items():
        assert ast.get_docstring(ast.parse(text)), name
        assert max(map(len, text.splitlines())) <= 100, name


def test_the_projects_own_test_passes(tmp_path: Path) -> None:
    project(tmp_path, "tested", "churned")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{Path(loader.__file__).parents[2]}:{tmp_path}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout


def test_a_package_never_has_the_name_of_an_installed_one(tmp_path: Path) -> None:
    assert package_name("my-Model.v2", tmp_path) == "my_model_v2"
    assert package_name("yaml", tmp_path) == "yaml_model"
    assert package_name("class", tmp_path) == "model_class"
    assert package_name("2026", tmp_path) == "model_2026"
    with pytest.raises(ConfigurationError, match="not a usable name"):
        package_name("../other", tmp_path)


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    _, files = project(tmp_path, "kept", "churned")
    with pytest.raises(Conflict, match=r"driftline.yaml, kept/__init__.py.*--force"):
        refuse_existing(tmp_path, files, force=False)
    refuse_existing(tmp_path, files, force=True)


def test_a_training_waits_for_enough_rows_of_a_rare_class(tmp_path: Path) -> None:
    def label(chance: random.Random, number: int) -> str:
        return "yes" if number % 400 == 0 else "no"

    data = written(tmp_path / "data.csv", [*FEATURES, ("fraud", label)], 4_000)
    guess = guess_csv(data).guess
    assert guess.label.rarest == pytest.approx(1 / 400)
    assert training_rows(guess) == 20 * 400
    text = settings_text("m", "m", guess, topics_of("m"))
    assert "min_labelled_rows: 8000, max_rows: 40000" in text
    (sentence,) = (line for line in decided(guess_csv(data)) if "rarest" in line)
    assert "0.25% of the rows, so a training waits for 8000 rows" in sentence
    rare = replace(guess, label=replace(guess.label, rarest=1e-4))
    assert training_rows(rare) == 50_000
    (sentence,) = (
        line for line in decided(replace(guess_csv(data), guess=rare)) if "rarest" in line
    )
    assert "some 5 are of the rarest class: too few" in sentence

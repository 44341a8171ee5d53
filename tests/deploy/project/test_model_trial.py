"""`driftline model check` trains, exports and serves what `init` wrote, for every task; what fails
is told with the line of the user's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.cli.runner import data, run
from tests.deploy.project.files import Cell, choice, decimal, whole, written

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]
FEATURES = [("fee", decimal(1, 90)), ("plan", choice("basic", "pro", "")), ("visits", whole(0, 99))]
LABELS: dict[str, Cell] = {
    "risk": lambda chance, number: "bad" if chance.random() < 0.3 else "good",
    "queue": choice("billing", "tech", "sales and more"),
    "demand": whole(0, 40),
}


def checked(
    folder: Path, label: str, *words: str, change: tuple[str, str, str] | None = None
) -> Any:
    """Init a project for the label, change a file, check it; returns the JSON."""
    # a package is imported once, so each has a name of its own
    name = f"tried_{label}_{Path(change[0]).stem if change else 'whole'}"
    file = written(folder / "data.csv", [*FEATURES, (label, LABELS[label])], 800)
    home = {"DRIFTLINE_HOME": str(folder / "home")}
    initialised = run("init", name, "--from", str(file), "--into", str(folder / "p"), env=home)
    assert initialised.exit_code == 0, initialised.stderr
    if change is not None:
        path = folder / "p" / name / change[0]
        assert change[1] in path.read_text()
        path.write_text(path.read_text().replace(change[1], change[2], 1))
    config = folder / "p" / "driftline.yaml"
    given = [str(file) if word == "FILE" else word for word in words]
    result = run("model", "check", name, *given, "--json", config=config, env=home)
    shown = data(result)
    assert result.exit_code == (4 if shown["violations"] else 0)
    return shown


@pytest.mark.parametrize(
    ("label", "metric", "words"),
    [("risk", "auc", ()), ("queue", "macro_f1", ("--from", "FILE")), ("demand", "mae", ())],
)
def test_a_project_of_each_task_is_trained_and_served(
    tmp_path: Path, label: str, metric: str, words: tuple[str, ...]
) -> None:
    shown = checked(tmp_path, label, *words)
    assert shown["violations"] == []
    assert metric in shown["trained"]["metrics"]
    assert shown["trained"]["predict_seconds"] > 0


@pytest.mark.parametrize(
    ("file", "before", "after", "rule", "message"),
    [
        ("preprocessing.py", "    columns =", "    inputs['gone']\n    columns =", "Transform",
         "gone"),
        ("model.py", "    return tabular", "    raise ValueError('no net')\n    return tabular",
         "Trainer", "no net"),
    ],
)  # fmt: skip
def test_a_failure_names_the_line_of_the_users_code(
    tmp_path: Path, file: str, before: str, after: str, rule: str, message: str
) -> None:
    shown = checked(tmp_path, "risk", change=(file, before, after))
    (violation,) = shown["violations"]
    assert violation["rule"] == rule, violation
    path = tmp_path / "p" / f"tried_risk_{Path(file).stem}" / file
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if message in text)
    assert violation["place"] == f"{path}:{line}", violation
    assert message in violation["message"]

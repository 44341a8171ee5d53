"""A broken model is explained with file and line, without TensorFlow."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.config import loader
from deploy.config.paths import PROJECT
from deploy.project.csv_guess import guess_csv
from deploy.project.model_rules import model_violations
from deploy.project.writer import project_files, write_project
from tests.deploy.cli.runner import data, run
from tests.deploy.project.files import choice, decimal, written

SCHEMA = """default_environment: "TRAINING"
default_environment: "SERVING"
feature {
  name: "fee"
  type: FLOAT
}
feature {
  name: "plan"
  type: BYTES
}
feature {
  name: "churned"
  type: INT
  not_in_environment: "SERVING"
}
feature {
  name: "after_shift"
  type: INT
  not_in_environment: "SERVING"
}
"""


_numbers = itertools.count()
"""Each project has a package of its own: Python imports a name once."""


class Project:
    """A correct project, whose files a test breaks."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        columns = [
            ("fee", decimal(1, 9)),
            ("plan", choice("a", "b")),
            ("churned", choice("0", "1")),
        ]
        guess = guess_csv(written(folder / "data.csv", columns, 200)).guess
        write_project(folder, project_files(name, name, guess, SCHEMA, 1))

    def change(self, file: str, before: str, after: str) -> None:
        path = self.folder / file.replace("PACKAGE", self.name)
        text = path.read_text()
        assert before in text, text
        path.write_text(text.replace(before, after, 1))

    def line(self, file: str, text: str) -> int:
        path = self.folder / file.replace("PACKAGE", self.name)
        return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)

    def violations(self) -> list[tuple[str, str, str]]:
        settings = loader.load(self.folder / "driftline.yaml", environment={})
        return [
            (v.rule, str(Path(v.place).relative_to(self.folder / self.name)), v.message)
            for v in model_violations(settings.models[self.name])
        ]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, f"ruled_{next(_numbers)}")


def test_what_init_writes_breaks_no_rule(project: Project) -> None:
    assert project.violations() == []


@pytest.mark.parametrize(
    ("file", "before", "after", "rule", "place", "message"),
    [
        ("contract.py", '("fee",)', '("fee", "fee")', "features", "contract.py", "2 times"),
        (
            "contract.py",
            '("fee",)',
            '("fee", "churned")',
            "features",
            "contract.py",
            "of the label",
        ),
        ("contract.py", '("fee",)', '("fee", "event_time")', "features", "contract.py", "the time"),
        ("contract.py", '("fee",)', '("fee", "my fee")', "features", "contract.py", "tensor"),
        ("contract.py", '("fee",)', '("fee", "age")', "schema", "contract.py", "age is not in"),
        (
            "contract.py",
            'kind="binary"',
            'kind="binary", classes=("a",)',
            "import",
            "contract.py",
            "no classes",
        ),
        ("contract.py", 'f"{LABEL}_label"', "LABEL", "label", "contract.py", "of its own"),
        ("contract.py", "outcome=outcome", "outcome=None", "label", "contract.py", "quality"),
        ("contract.py", "(LABEL,)", "()", "label", "contract.py", "name at least one"),
        (
            "contract.py",
            "model.build_model",
            "net.build_model",
            "functions",
            "contract.py",
            "no mod",
        ),
        (
            "contract.py",
            "label_columns",
            "slices=('x',),\n    label_columns",
            "slices",
            "contract",
            "",
        ),
        ("model.py", "def build_model", "def make_model", "functions", "model.py", "defines no"),
        ("model.py", "(inputs, hyper", "(inputs, a, hyper", "functions", "model.py", "2 argument"),
        ("preprocessing.py", "(inputs)", "()", "functions", "preprocessing.py", "1 argument"),
        ("schema.pbtxt", "FLOAT", "INT", "schema", "schema.pbtxt:4", "INT here"),
        ("schema.pbtxt", "FLOAT", "REAL", "schema", "schema.pbtxt", "is not a schema"),
        ("schema.pbtxt", '"SERVING"', '"S"', "schema", "schema.pbtxt", "environment SERVING"),
        ("schema.pbtxt", '"after_shift"', '"x"', "schema", "schema.pbtxt", "after_shift"),
    ],
)
def test_a_broken_rule_is_explained_with_its_place(
    project: Project, file: str, before: str, after: str, rule: str, place: str, message: str
) -> None:
    project.change(f"PACKAGE/{file}", before, after)
    violations = project.violations()
    assert any(
        broken_rule == rule and broken_place.startswith(place) and message in text
        for broken_rule, broken_place, text in violations
    ), violations


def test_the_line_is_that_of_the_mistake(project: Project) -> None:
    project.change("PACKAGE/model.py", "(inputs, hyperparameters)", "(inputs)")
    ((_, place, _),) = project.violations()
    assert place == f"model.py:{project.line('PACKAGE/model.py', 'def build_model')}"


def test_an_import_that_fails_names_its_line(project: Project) -> None:
    project.change("PACKAGE/contract.py", 'LABEL = "churned"', 'LABEL = "churned"\n1 / 0')
    ((rule, place, message),) = project.violations()
    assert rule == "import"
    assert place == f"contract.py:{project.line('PACKAGE/contract.py', '1 / 0')}"
    assert "ZeroDivisionError" in message


def test_a_syntax_error_names_its_line(project: Project) -> None:
    project.change("PACKAGE/contract.py", 'LABEL = "churned"', 'LABEL = = "churned"')
    ((rule, place, _),) = project.violations()
    assert (rule, place) == (
        "import",
        f"contract.py:{project.line('PACKAGE/contract.py', 'LABEL = =')}",
    )


def test_the_commands_tell_it_and_end_with_their_codes(project: Project) -> None:
    file = project.folder / "driftline.yaml"
    assert run("model", "check", project.name, "--quick", config=file).exit_code == 0
    project.change("PACKAGE/model.py", "def build_model", "def make_model")
    checked = run("model", "check", project.name, "--json", config=file)
    assert checked.exit_code == 4
    (violation,) = data(checked)["violations"]
    assert violation["rule"] == "functions"
    refused = run("config", "check", config=file)
    assert refused.exit_code == 2
    assert "model.py:1: functions: build_model: this file defines no" in refused.stderr


def test_the_quick_check_imports_no_tensorflow(project: Project) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom deploy.config import loader\n"
        "from deploy.project.model_rules import model_violations\n"
        f"s = loader.load(Path({str(project.folder / 'driftline.yaml')!r}), contracts=True)\n"
        f"assert model_violations(s.models[{project.name!r}]) == []\n"
        "assert not {'tensorflow', 'keras', 'tfx'} & set(sys.modules), 'heavy'\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr

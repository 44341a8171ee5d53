"""Each example is what `driftline init` writes for its data; the blocks of the page run."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.config import loader
from deploy.project.csv_guess import guess_csv
from deploy.project.model_rules import model_violations
from deploy.project.replay import ReplayCounts, ReplayPlan
from deploy.project.replay_progress import describe, start_line
from deploy.project.writer import project_files
from tests.source_files import PROJECT

EXAMPLES = {
    "churn": ("customers.csv", "binary", 1),
    "demand": ("rentals.csv", "regression", None),
    "support": ("tickets.csv", "multiclass", None),
}
PAGE = PROJECT / "docs" / "your-model.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


def generated(name: str, folder: Path) -> Path:
    """The data of an example."""
    script = PROJECT / "examples" / name / "generate.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    return folder / EXAMPLES[name][0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_what_init_writes(name: str, tmp_path: Path) -> None:
    guess = guess_csv(generated(name, tmp_path)).guess
    assert guess.label.task == EXAMPLES[name][1]
    folder = PROJECT / "examples" / name
    schema = (folder / name / "schema.pbtxt").read_text()
    test_file = (folder / "tests" / f"test_{name}.py").read_text()
    shown = re.search(r"LABEL: (.+?)\}\)", test_file)
    assert shown is not None
    label_value = ast.literal_eval(shown[1])
    written = project_files(name, name, guess, schema, label_value)
    assert {path: (folder / path).read_text() for path in written} == written


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_breaks_no_rule_and_its_test_passes(name: str) -> None:
    folder = PROJECT / "examples" / name
    settings = loader.load(folder / "driftline.yaml", environment={}, contracts=True)
    assert model_violations(settings.models[name]) == []
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "tests"],
        cwd=folder,
        env={"PYTHONPATH": f"{PROJECT}:{folder}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lines of the page; `driftline` and `python` are those of this environment."""
    functions = (
        "set -euo pipefail\n"
        f'driftline() {{ "{sys.executable}" -m deploy.cli.main "$@"; }}\n'
        f'python() {{ "{sys.executable}" "$@"; }}\n'
    )
    return subprocess.run(
        ["bash", "-c", functions + script],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "DRIFTLINE": str(PROJECT),
            "DRIFTLINE_HOME": str(folder / "home"),
            "PYTHONPATH": f"{PROJECT}:{folder / 'churn'}",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_screen_of_a_replay_is_the_page_s() -> None:
    shown = re.search(r"^```replay\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    first, second = shown[1].splitlines()
    assert first == start_line("churn", Path("../customers.csv"), rows=6000, begun=0)
    counts = ReplayCounts(
        events=18400, rounds=3.1, labels=17800, predictions=4200, requests=4200, errors=0,
        first_error="", live=True,
    )  # fmt: skip
    plan = ReplayPlan(rows_per_second=200.0, total=6000, seconds=180.0)
    assert second == describe(counts, plan)


@pytest.mark.engine
def test_the_blocks_of_the_page_run_in_order(tmp_path: Path) -> None:
    page = PAGE.read_text()
    blocks = BLOCK.findall(page)
    assert len(blocks) == 3
    ran = shell("".join(blocks), tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    screen = re.search(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert screen is not None
    printed = [line.rstrip() for line in ran.stdout.splitlines()]
    for line in screen[1].splitlines():
        assert line in printed
    assert "churn was trained on" in ran.stdout

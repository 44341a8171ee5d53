"""`driftline init`: a project of data, or a reason why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.cli.shared import large_file
from deploy.config import loader
from tests.deploy.cli.runner import data, run
from tests.deploy.project.files import choice, decimal, written
from tests.deploy.project.test_topic_guess import filled

COLUMNS = [("fee", decimal(1, 90)), ("plan", choice("basic", "pro"))]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("churn",), 2, "Give either --from FILE.csv or --from-topic TOPIC"),
        (("churn", "--from", "a.csv", "--from-topic", "t"), 2, "Give either"),
        (("churn", "--from", "a.csv", "--labels-topic", "t"), 2, "Give either"),
        (("churn", "--from", "a.csv", "--task", "ranking"), 2, "is none of binary, multiclass"),
        (("../x", "--from", "a.csv"), 2, "not a usable name"),
        (("churn", "--from", "none.csv"), 3, "cannot be read"),
        (("churn", "--from-topic", "none"), 3, "has no messages"),
    ],
)
def test_wrong_usage_is_refused_and_nothing_is_written(
    tmp_path: Path, words: tuple[str, ...], code: int, reason: str
) -> None:
    shown = run(
        "init", *words, "--into", str(tmp_path / "p"), env={"DRIFTLINE_HOME": str(tmp_path / "h")}
    )
    assert shown.exit_code == code, shown.stderr
    assert reason in shown.stderr
    assert not (tmp_path / "p").exists()


def test_a_large_file_says_that_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "a.csv", COLUMNS[:1] * 2, 200)
    words = ("init", "m", "--from", str(file), "--into", str(tmp_path / "p"))
    home = {"DRIFTLINE_HOME": str(tmp_path / "h")}
    assert "Reading" not in run(*words, env=home).stderr
    monkeypatch.setattr(large_file, "LARGE_BYTES", 1_000)
    assert f"Reading {file}" in run(*words, env=home).stderr


def test_data_without_a_label_are_refused_with_the_reason(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", COLUMNS[:1] * 2, 200)
    shown = run("init", "m", "--from", str(file), "--into", str(tmp_path / "p"), "--json")
    assert shown.exit_code == 2
    assert "Name it with --label COLUMN" in data(shown)["error"]["message"]
    assert not (tmp_path / "p").exists()


@pytest.mark.engine
def test_a_csv_file_becomes_a_project_that_loads(tmp_path: Path) -> None:
    file = written(tmp_path / "a.csv", [*COLUMNS, ("churned", choice("yes", "no"))], 300)
    folder = tmp_path / "p"
    words = ("init", "clichurn", "--from", str(file), "--into", str(folder))
    home = {"DRIFTLINE_HOME": str(tmp_path / "home")}
    shown = run(*words, env=home)
    assert shown.exit_code == 0, shown.stderr
    assert "fee" in shown.stdout
    assert "Task: binary (two values)." in shown.stdout
    settings = loader.load(folder / "driftline.yaml", environment={}, contracts=True)
    assert settings.models["clichurn"].module == "clichurn"

    again = run(*words, env=home)
    assert again.exit_code == 5
    assert "nothing was written" in again.stderr
    forced = run(*words, "--force", "--json", env=home)
    assert data(forced)["task"] == "binary"
    assert "clichurn/contract.py" in data(forced)["files"]


@pytest.mark.engine
def test_a_topic_becomes_a_project_with_its_topics(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    words = ("init", "cliorders", "--from-topic", "orders", "--labels-topic", "outcomes")
    shown = run(
        *words, "--label", "churned", "--into", str(folder),
        log=filled(), env={"DRIFTLINE_HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert shown.exit_code == 0, shown.stderr
    section = loader.load(folder / "driftline.yaml", environment={}).models["cliorders"]
    assert (section.events.topic, section.labels.topic) == ("orders", "outcomes")
    assert (section.events.key, section.events.time) == ("order", "event_time")

"""Every block of the pages on tasks is executed: contract, messages, settings and commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.config import loader, yaml_text
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Metric
from streaming.contracts.task import Task
from streaming.quality.tasks import quality_of
from tests.deploy.cli.builders import promotion, version
from tests.deploy.cli.doubles import replying
from tests.deploy.cli.runner import run
from tests.source_files import PROJECT
from tests.streaming.quality.task_populations import Population
from tests.streaming.quality.test_task_monitor import TaskWorld

PAGES = {"binary": "churn", "multiclass": "support", "regression": "demand"}
FENCE = re.compile(r"^```([\w-]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDERS = ("docs/your-model.md", "retrain/README.md")


def blocks(kind: str) -> dict[str, list[str]]:
    """The blocks of a page by language."""
    by_language: dict[str, list[str]] = {}
    for language, text in FENCE.findall((PROJECT / "docs" / f"task-{kind}.md").read_text()):
        by_language.setdefault(language, []).append(text)
    return by_language


@pytest.mark.parametrize("kind", PAGES)
def test_every_block_is_of_a_kind_that_a_test_runs(kind: str) -> None:
    counted = {language: len(texts) for language, texts in blocks(kind).items()}
    assert counted == {"python": 1, "json": 2, "sh": 1, "yaml": 1}


@pytest.mark.parametrize("kind", PAGES)
def test_the_messages_are_read_by_the_contract(kind: str) -> None:
    page = blocks(kind)
    (source,), (prediction, label) = page["python"], map(json.loads, page["json"])
    names: dict[str, Any] = {"Task": Task}
    exec(source, names)
    task = names["task"]
    assert task.kind == kind
    quality = quality_of(task)
    (packed,) = quality.packed([quality.prediction_of(prediction["prediction"])])
    assert packed
    assert quality.outcome_of(names["outcome"](label)) is not None
    assert names["outcome"]({}) is None
    assert prediction.keys() & label.keys()


@pytest.mark.parametrize(("kind", "model"), PAGES.items())
def test_the_settings_can_be_loaded(kind: str, model: str, tmp_path: Path) -> None:
    folder = PROJECT / "examples" / model
    settings: Any = yaml_text.parse_file((folder / "driftline.yaml").read_text())[1]
    (written,) = blocks(kind)["yaml"]
    sections: Any = yaml_text.parse_file(written)[1]
    section = settings["models"][model]
    section["rollout"] |= sections.pop("rollout")
    section |= sections
    settings["code"] = str(folder)
    file = tmp_path / "driftline.yaml"
    file.write_text(json.dumps(settings))
    assert loader.load(file, environment={}, contracts=True).models[model].experiments.metric


@pytest.mark.parametrize(("kind", "model"), PAGES.items())
def test_the_commands_run(kind: str, model: str) -> None:
    config = PROJECT / "examples" / model / "driftline.yaml"
    measured = tuple(
        Metric(name=name, slice="", value=3.0, n=900)
        for name in ("rmse", "poisson_deviance", "pinball")
    )
    records = [msgspec.structs.replace(version(1), evaluation=measured), promotion(1), version(2)]
    world = TaskWorld(Population(task=Task(kind="binary")))
    for _ in range(3):
        world.window()
    log = MemoryLog()
    log.append([msgspec.structs.replace(one, model=model) for one in (*records, *world.verdicts)])
    for line in blocks(kind)["sh"][0].splitlines():
        with replying(log, result_id="e1"):
            shown = run(*line.split()[1:], log=log, config=config)
        assert shown.exit_code == 0, (line, shown.stderr)


@pytest.mark.parametrize("kind", PAGES)
def test_the_pages_are_linked(kind: str) -> None:
    for file in FOLDERS:
        assert f"task-{kind}.md" in (PROJECT / file).read_text(), file

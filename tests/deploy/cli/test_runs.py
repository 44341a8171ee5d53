"""`driftline runs` on a log in memory and ML Metadata in a file."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import Result

from retrain.engines.mlmd.graph import Graph
from retrain.engines.mlmd.outcomes import OutcomeWriter
from retrain.engines.run_files import RunFiles
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from tests.deploy.cli.builders import MODEL, canary_verdict, promotion, version
from tests.deploy.cli.runner import data, run
from tests.retrain.builders import request
from tests.retrain.engines.mlmd.attempts import attempt, store_in

STACK = "demo-stack"
Runner = Callable[..., Result]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: version 1 was promoted, version 2 is in its canary after a killed attempt."""
    folder = tmp_path_factory.mktemp("recorded")
    stack = folder / STACK
    graph, files = Graph(store_in(stack)), RunFiles(stack / "artifacts" / "runs")
    for number, attempts in ((1, 1), (2, 2)):
        retrain = replace(request(f"request-{number}", at=1_000.0 * number), model=MODEL)
        for each in range(1, attempts + 1):
            work = folder / "work"
            killed = each < attempts
            attempt(graph, retrain, each, work=work, files=files, killed=killed, digest=f"{number}")
            shutil.rmtree(work)
        OutcomeWriter(graph, files).write(retrain)
    return folder


@pytest.fixture
def home(recorded: Path, tmp_path: Path) -> Path:
    """The two runs, for one test alone."""
    return Path(shutil.copytree(recorded, tmp_path / "home"))


@pytest.fixture
def runs(home: Path) -> Runner:
    log = MemoryLog()
    log.append([version(1), version(2), promotion(1), canary_verdict()])

    def invoke(*words: str, **options: Any) -> Result:
        return run("runs", *words, env={"DRIFTLINE_HOME": str(home)}, **({"log": log} | options))

    return invoke


def test_the_list_has_the_newest_first_with_its_outcome(runs: Runner) -> None:
    first, second = data(runs("list", "--json"))
    assert (first["run_id"], first["version"], first["attempts"]) == ("request-2", 2, 2)
    assert [event["outcome"] for event in second["history"]] == ["initial"]
    shown = runs("list", "--last", "1").stdout
    assert "request-2" in shown
    assert "request-1" not in shown
    assert "2 attempts" in shown
    assert "0.9000 [0.8900, 0.9100]" in shown
    assert data(runs("list", "--model", MODEL, "--json"))[0]["version"] == 2
    assert runs("list", "--model", "unknown").exit_code == 3


def test_one_run_is_shown_by_version_id_and_digest(runs: Runner, tmp_path: Path) -> None:
    by_version = data(runs("show", "2", "--json"))
    for target in ("request-2", "digest-2"):
        assert data(runs("show", target, "--json")) == by_version
    chart = tmp_path / "losses.svg"
    shown = runs("show", "2", "--plot", str(chart))
    assert shown.exit_code == 0
    for expected in ("learning_rate", "held-back rows", "Trainer", "(removed)", "canary 1970"):
        assert expected in shown.stdout, expected
    assert "<svg" in chart.read_text()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "7"), 3),
        (("show", "[/x]"), 3),
        (("show", "reques"), 5),
        (("compare", "1"), 2),
        (("compare", "1", "7"), 3),
        (("show", "1", "--plot", "curve.txt"), 2),
        (("export",), 2),
        (("show",), 2),
    ],
)
def test_each_error_has_its_exit_code_and_a_next_step(
    runs: Runner, words: tuple[str, ...], code: int
) -> None:
    result = runs(*words, "--json")
    assert result.exit_code == code
    error = data(result)["error"]
    assert error["exit_code"] == code
    assert len(error["message"]) > 10


def test_runs_are_compared(runs: Runner) -> None:
    result = runs("compare", "1", "2")
    assert result.exit_code == 0
    assert "request-1 v1" in result.stdout
    assert "base version" not in result.stdout
    assert "base version" in runs("compare", "1", "2", "--all").stdout
    assert [each["name"] for each in data(runs("compare", "1", "2", "--json"))["metrics"]] == [
        "auc"
    ]


def test_without_kafka_the_runs_are_shown_with_a_warning(home: Path) -> None:
    def unreachable(bootstrap: str) -> MemoryLog:
        raise UnavailableError("Kafka cannot be reached.")

    shown = run(
        "runs", "list", "--json", log_factory=unreachable, env={"DRIFTLINE_HOME": str(home)}
    )
    assert shown.exit_code == 0
    assert "may be missing: Kafka cannot be reached" in shown.stderr
    assert [each["state"] for each in data(shown)] == ["trained", "trained"]


def test_a_damaged_store_is_named(home: Path) -> None:
    file = home / STACK / "metadata" / "mlmd.sqlite"
    file.write_bytes(b"no database" * 1000)
    result = run("runs", "list", env={"DRIFTLINE_HOME": str(home)})
    assert result.exit_code == 8
    assert "mlmd.sqlite" in result.stderr


def test_no_run_is_no_error(tmp_path: Path) -> None:
    result = run("runs", "list", env={"DRIFTLINE_HOME": str(tmp_path)})
    assert result.exit_code == 0
    assert "driftline retrain MODEL" in result.stderr


def test_runs_are_read_without_tensorflow_or_tfx() -> None:
    code = (
        "import sys, deploy.runs.opened, deploy.runs.recorder, deploy.views.runs,"
        " retrain.engines.mlmd.run_reader, deploy.runs.mlflow_export, deploy.runs.board;"
        "print(sorted({'tensorflow', 'tfx', 'numpy', 'scipy', 'mlflow'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert shown.stdout.strip() == "[]"


def test_a_trace_goes_forwards_and_names_the_files(home: Path) -> None:
    log, env = MemoryLog(), {"DRIFTLINE_HOME": str(home)}
    retrain = replace(request("request-1"), model=MODEL)
    log.append([retrain, replace(version(1), caused_by=("request-1",)), promotion(1)])
    forwards = data(run("trace", "request-1", "--effects", "--json", log=log, env=env))
    (published,) = forwards["effects"]
    assert published["record"]["version"] == 1
    assert published["effects"][0]["record"]["kind"] == "promotion"
    backwards = run("trace", "digest-1", "--files", log=log, env=env)
    assert backwards.exit_code == 0
    assert "files of run request-1" in backwards.stdout
    assert "ExampleStatistics" in backwards.stdout
    assert run("trace", "1", "--effects", "--recompute", log=log, env=env).exit_code == 2

"""Runs in ML Metadata: one for each request, whole from offsets to promotion, with real files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ml_metadata import MetadataStore
from msgspec.structs import replace

from retrain.engines.mlmd.attempts import OFFSETS, local_path
from retrain.engines.mlmd.connection import MetadataServer, open_store
from retrain.engines.mlmd.graph import Graph
from retrain.engines.mlmd.outcomes import PROMOTION, OutcomeWriter, RunRecord
from retrain.engines.mlmd.run_reader import read_runs
from retrain.engines.run_files import RunFiles
from retrain.run_view import Run, RunPolicy, headline_of
from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.records import (
    Artifact,
    CanaryVerdict,
    ModelVersion,
    OffsetRange,
    Promotion,
    RetrainFailure,
)
from tests.retrain.builders import MODEL, model_version, promotion, request
from tests.retrain.engines.mlmd.attempts import METRIC, attempt, reached, store_in

SPAN = OffsetRange(topic="trips", partition=0, start=3, stop=9)
REQUEST = request("request-1", events=(SPAN,), labels=(SPAN,))


class Runs:
    """ML Metadata, files and a model store in one folder."""

    def __init__(self, folder: Path, policy: RunPolicy | None = None) -> None:
        self.folder = folder
        self.files = RunFiles(folder / "runs", policy or RunPolicy())
        self.store: MetadataStore = store_in(folder)
        self.graph = Graph(self.store)
        self._writer = OutcomeWriter(self.graph, self.files)

    def attempt(
        self, number: int = 1, *, of: str = "request-1", until: str = "Evaluator",
        killed: bool = False,
    ) -> None:  # fmt: skip
        """One attempt, with the folder deleted at its end as the worker does."""
        work = self.folder / "scratch" / f"{of}-{number}"
        attempt(
            self.graph, replace(REQUEST, record_id=of, at=REQUEST.at + number), number,
            work=work, files=self.files, until=until, killed=killed,
        )  # fmt: skip
        shutil.rmtree(work)

    def write(self, *records: RunRecord) -> None:
        for record in records:
            self._writer.write(record)

    def published(self, number: int = 1, of: str = "request-1") -> ModelVersion:
        """A version in the store."""
        folder = self.folder / "models" / MODEL / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        return replace(
            model_version(number, of),
            artifact=Artifact(uri=folder.as_uri(), digest=f"digest-{number}"),
            evaluation=(METRIC,),
        )

    def run(self) -> Run:
        (only,) = read_runs(self.store)
        return only


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def verdict(version: int, at: float, outcome: str = "pass") -> CanaryVerdict:
    return CanaryVerdict(
        record_id=f"canary-{at:g}",
        model=MODEL,
        at=at,
        version=version,
        rollout_id=f"rollout-{version}",
        step=1,
        weight=10,
        outcome=outcome,  # type: ignore[arg-type]
        reason="the gates",
        gates=(),
        requests=100,
        seconds_in_step=1.0,
    )


def live_version(number: int, at: float = 2_000.0) -> Promotion:
    return promotion(number, at)


def test_a_run_leads_from_offsets_to_promotion_and_back(runs: Runs) -> None:
    runs.write(REQUEST)
    runs.attempt()
    runs.write(runs.published(), verdict(1, 1_500.0), live_version(1))
    offsets = runs.store.get_artifact_by_type_and_name(OFFSETS, "request-1")
    promoted = runs.store.get_artifact_by_type_and_name(PROMOTION, live_version(1).record_id)
    whole = {
        OFFSETS, "Examples", "ExampleStatistics", "ExampleAnomalies", "TunerResults", "Model",
        "ModelEvaluation", "driftline.PublishedModel", "driftline.CanaryVerdict", PROMOTION,
    }  # fmt: skip
    assert reached(runs.store, offsets, forwards=True) == whole
    before = reached(runs.store, promoted, forwards=False)
    assert before == whole - {"ExampleStatistics", "ExampleAnomalies", "ModelEvaluation"} | {
        "Schema"
    }


def test_every_uri_exists_after_the_attempts_folder_was_deleted(runs: Runs) -> None:
    runs.attempt()
    runs.write(runs.published(), verdict(1, 1_500.0), live_version(1))
    run = runs.run()
    assert len(run.artifacts) >= 11
    for artifact in run.artifacts:
        path = local_path(artifact.uri)
        assert not artifact.removed
        assert path is not None
        assert path.exists(), artifact
    examples = next(each for each in run.artifacts if each.kind == "Examples")
    assert (Path(examples.uri) / "content").read_text() == "Examples of attempt 1"


def test_a_run_has_parameters_metrics_curves_trials_and_outcome(runs: Runs) -> None:
    runs.write(REQUEST)
    runs.attempt()
    assert runs.run().state == "trained"
    runs.write(runs.published(), verdict(1, 1_400.0, "insufficient"), verdict(1, 1_500.0))
    runs.write(live_version(1))
    run = runs.run()
    assert (run.state, run.version, run.blessed) == ("published", 1, True)
    assert (run.events, run.labels, run.rows) == ((SPAN,), (SPAN,), 100)
    assert run.parameters["learning_rate"] == 0.01
    assert run.curve.loss == (0.5, 0.4, None)
    assert run.trials[0]["loss"] == 0.5
    assert headline_of(run) == METRIC
    assert [(event.kind, event.outcome) for event in run.history] == [
        ("canary", "pass"),
        ("promotion", "promoted"),
    ]


def test_a_request_is_one_run_also_after_its_worker_was_killed(runs: Runs) -> None:
    runs.write(REQUEST)
    assert runs.run().state == "waiting"
    runs.attempt(1, until="Trainer", killed=True)
    assert (runs.run().state, runs.run().attempts) == ("running", 1)
    runs.attempt(2)
    runs.write(runs.published())
    run = runs.run()
    assert (run.state, run.attempts, run.version) == ("published", 2, 1)
    lost = [artifact for artifact in run.artifacts if artifact.removed]
    assert {artifact.kind for artifact in lost} >= {"Examples", "ExampleStatistics", "Model"}
    kept = [artifact for artifact in run.artifacts if not artifact.removed]
    assert all(Path(local_path(each.uri) or "").exists() for each in kept)
    assert {each.kind for each in kept} >= {"Examples", "Model", "ModelEvaluation"}


def test_repeated_records_and_a_second_writer_change_nothing(runs: Runs) -> None:
    records = (REQUEST, runs.published(), verdict(1, 1_500.0), live_version(1))
    runs.attempt()
    runs.write(*records)
    first = runs.run()
    counts = len(runs.store.get_executions()), len(runs.store.get_artifacts())
    runs.write(*records, *records)
    OutcomeWriter(Graph(store_in(runs.folder)), runs.files).write(live_version(1))
    assert runs.run() == first
    assert (len(runs.store.get_executions()), len(runs.store.get_artifacts())) == counts


def test_an_older_verdict_does_not_replace_a_newer_one(runs: Runs) -> None:
    runs.write(REQUEST, runs.published(), verdict(1, 1_500.0), verdict(1, 1_400.0, "fail"))
    assert [event.outcome for event in runs.run().history] == ["pass"]


def failure(outcome: str) -> RetrainFailure:
    return RetrainFailure(
        record_id="failure-1",
        model=MODEL,
        at=1_200.0,
        request_id="request-1",
        component="Trainer",
        reason="the loss is no number",
        advice="look",
        outcome=outcome,  # type: ignore[arg-type]
        evaluation=(METRIC,) if outcome == "insufficient" else (),
    )


@pytest.mark.parametrize("outcome", ["failed", "insufficient"])
def test_a_run_without_a_version_says_why_and_names_no_file_that_is_gone(
    runs: Runs, outcome: str
) -> None:
    runs.attempt(until="Trainer")
    runs.write(failure(outcome))
    run = runs.run()
    assert (run.state, run.version, run.outcome) == (outcome, 0, "the loss is no number")
    assert next(a for a in run.artifacts if a.kind == "Model").removed
    assert not next(a for a in run.artifacts if a.kind == "ExampleStatistics").removed


def test_a_version_of_a_request_that_the_log_no_longer_has_is_a_run(runs: Runs) -> None:
    runs.write(runs.published())
    run = runs.run()
    assert (run.state, run.version, run.attempts) == ("published", 1, 0)


def test_the_policy_removes_files_and_ml_metadata_says_so(tmp_path: Path) -> None:
    runs = Runs(tmp_path, RunPolicy(runs=2, examples=1))
    for number in (1, 2, 3):
        name = f"request-{number}"
        runs.attempt(number, of=name)
        runs.write(runs.published(number, name))
    newest, middle, oldest = read_runs(runs.store)
    assert [run.version for run in (newest, middle, oldest)] == [3, 2, 1]
    assert [a.kind for a in newest.artifacts if a.removed] == []
    assert [a.kind for a in middle.artifacts if a.removed] == ["Examples"]
    assert {a.kind for a in oldest.artifacts if not a.removed} == {
        "Model", "driftline.PublishedModel",
    }  # fmt: skip
    assert not runs.files.folder(MODEL, "request-1").exists()


def test_the_runs_of_the_live_version_and_the_one_before_stay_whatever_the_policy(
    tmp_path: Path,
) -> None:
    runs = Runs(tmp_path, RunPolicy(runs=1, examples=1))
    for number in range(1, 6):
        name = f"request-{number}"
        runs.attempt(number, of=name)
        runs.write(runs.published(number, name))
        if number < 4:
            runs.write(live_version(number, 2_000.0 + number))
    folders = sorted(runs.files.folder(MODEL, "x").parent.iterdir())
    assert [folder.name for folder in folders] == ["request-2", "request-3", "request-5"]
    with_examples = {folder.name for folder in folders if [*folder.glob("*/Examples")]}
    assert with_examples == {"request-5"}


def test_ids_of_foreign_records_stay_inside_the_folder_of_runs(runs: Runs) -> None:
    hostile = replace(REQUEST, record_id="../../outside", model="..")
    runs.write(hostile)
    assert [path.name for path in runs.folder.iterdir() if path.name == "outside"] == []
    assert all(path.is_relative_to(runs.files.root) for path in runs.folder.rglob("request.json"))


def test_a_server_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    server = MetadataServer(
        kind="postgresql", host="127.0.0.1", port=1, database="d", user="u",
        password_file=str(secret),
    )  # fmt: skip
    with pytest.raises(UnavailableError, match=r"postgresql://u@127\.0\.0\.1:1/d") as caught:
        open_store(server)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="password_file"):
        open_store(MetadataServer(
            kind="mysql", host="h", port=1, database="d", user="u",
            password_file=str(tmp_path / "absent"),
        ))  # fmt: skip

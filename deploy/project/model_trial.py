"""Trains, exports and serves a model on a sample, by the retrain worker's own parts.

The rows go through a log in memory, as events and labels do through Kafka: they are joined, split,
validated, transformed, trained on and evaluated, and the exported model is loaded by a real model
server, whose predictions are compared with the trainer's.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from deploy.app.deployment import Deployment
from deploy.project.csv_file import open_csv
from deploy.project.model_rules import Violation, place_in
from deploy.project.model_sources import SourceLine, file_of, function_of
from deploy.project.replay_rows import ReplayRows
from deploy.project.sample_rows import SampleRows
from deploy.project.settings_text import RARE_ROWS
from deploy.project.values import Value
from retrain.models.code import ModelCode, load_code
from retrain.ports import Progress, TrainingFailed, TrainingJob, TrainingResult
from streaming.contracts.errors import DriftlineError
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest
from streaming.contracts.task import Task
from streaming.contracts.topics import RECORD_TOPICS, applications_topic

ROWS = 2_000
"""Rows that are made where there is no file."""
FILE_ROWS = 5_000
"""Of a larger file, this many rows to twice as many are taken."""
RARE_FILE_ROWS = 25_000
"""The same where one of the classes has less than `RARE_ROWS` rows among those."""
OnStep = Callable[[str], None]
_FUNCTIONS = {"Transform": "preprocessing_fn", "Trainer": "build_model"}
"""Step → the user's function that it calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a trial showed."""

    rows: int
    """Rows with a label."""
    violations: tuple[Violation, ...] = ()
    metrics: tuple[tuple[str, float], ...] = ()
    """Name and value over all evaluated rows."""
    load_seconds: float = 0.0
    predict_seconds: float = 0.0


def try_model(
    deployment: Deployment, model: str, data: Path | None, on_step: OnStep = lambda step: None
) -> Trial:
    """Run the model's code on rows of a file, or on rows that its schema allows.

    Raises
    ------
    NotFoundError, ConfigurationError
        When the file cannot be read or has no rows for the model.
    """
    from retrain.engines.kafka.examples import schema_label_columns
    from streaming.engines.tfdv import schema_text

    contract = deployment.contract(model)
    code = load_code(contract.module)
    labels = schema_label_columns(contract)
    pairs: Iterable[tuple[dict[str, Value], dict[str, Value]]]
    if data is not None:
        replay = ReplayRows(open_csv(data), contract, labels, run="check")
        pairs = sampled(replay, code.task)
    else:
        schema = schema_text.parse(schema_text.read_text(code.schema))
        pairs = SampleRows(code.features, labels, code.task, schema).rows(ROWS)
    with tempfile.TemporaryDirectory(prefix="driftline-check-") as folder:
        return _run(deployment, contract, code, list(pairs), Path(folder), on_step)


def sampled(replay: ReplayRows, task: Task) -> list[tuple[dict[str, Value], dict[str, Value]]]:
    """Rows of a file, with enough of each class where the file has them."""
    rows: list[tuple[dict[str, Value], dict[str, Value]]] = []
    for limit in (FILE_ROWS, RARE_FILE_ROWS):
        rows = [(row.values, row.label) for row in replay.sample(limit)]
        classes = Counter(tuple(label.values()) for _, label in rows if label)
        known = len(task.classes) or 2
        few = len(classes) < known or min(classes.values()) < RARE_ROWS
        if task.kind == "regression" or not few or len(rows) == replay.rows:
            break
    return rows


def _run(
    deployment: Deployment,
    contract: ModelContract,
    code: ModelCode,
    pairs: list[tuple[dict[str, Value], dict[str, Value]]],
    folder: Path,
    on_step: OnStep,
) -> Trial:
    def progress(step: Progress) -> None:
        if step.state == "started":
            on_step(step.component)

    rows = sum(bool(label) for _, label in pairs)
    try:
        result = _train(deployment, contract, pairs, folder, progress)
    except DriftlineError as error:
        return Trial(rows=rows, violations=(_violation(error, code, contract.module),))
    overall = [m for m in result.metrics if m.slice == "" and not m.name.endswith("_diff")]
    return Trial(
        rows=rows,
        metrics=tuple((metric.name, metric.value) for metric in overall),
        load_seconds=result.load_seconds,
        predict_seconds=result.warm_predict_seconds,
    )


def _train(
    deployment: Deployment,
    contract: ModelContract,
    pairs: list[tuple[dict[str, Value], dict[str, Value]]],
    folder: Path,
    progress: Callable[[Progress], None],
) -> TrainingResult:
    from deploy.services.model_server_launcher import DriftlineModelServer
    from deploy.services.worker import column_decoder
    from retrain.engines.kafka.examples import LogExampleBuilder
    from retrain.engines.tfx.trainer import TfxTrainer

    now = time.time()
    log = _log_of(contract, pairs, now)
    sent = RetrainRequest(
        record_id="model-check", model=contract.model, at=now, cause="manual",
        reason="driftline model check", events=log.spans(contract.events_topic),
        labels=log.spans(contract.labels_topic), window_start=0.0, window_end=now, base_version=0,
        deadline=now + 3600.0,
    )  # fmt: skip
    schema = load_code(contract.module).schema
    tolerances = {contract.model: deployment.tolerance(contract.model)}
    builder = LogExampleBuilder(log=log, min_rows=50, tolerances=tolerances, decoder=column_decoder)
    examples = builder.build(sent, contract, folder / "examples", schema)
    allowed = deployment.settings.artifacts.allowed_operations
    trainer = TfxTrainer(folder, server=DriftlineModelServer(allowed), tolerances=tolerances)
    work = folder / "work"
    work.mkdir()
    job = TrainingJob(
        request=sent, contract=contract, version=1, examples=examples.folder, rows=examples.rows,
        rows_after_shift=0, champion=None, work_dir=work, schema=schema,
    )  # fmt: skip
    return trainer.train(job, progress)


def _log_of(
    contract: ModelContract, pairs: list[tuple[dict[str, Value], dict[str, Value]]], now: float
) -> MemoryLog:
    log = MemoryLog()
    topics = (contract.events_topic, contract.labels_topic)
    log.ensure([*RECORD_TOPICS, *(applications_topic(topic, partitions=1) for topic in topics)])
    for topic, side in zip(topics, (0, 1), strict=True):
        messages = []
        for number, pair in enumerate(pairs):
            at = now - len(pairs) + number
            present = {name: value for name, value in pair[side].items() if value is not None}
            fields = {contract.key: f"row-{number}", contract.time: at, **present}
            messages.append((None, orjson.dumps(fields)))
        log.append_raw(topic, messages)
    return log


def _violation(error: DriftlineError, code: ModelCode, module: str) -> Violation:
    """The failure of a step, at the innermost line of the user's code, or of the function."""
    step = error.component if isinstance(error, TrainingFailed) else "Examples"
    contract = file_of(f"{module}.contract")
    place = place_in(error, contract.parent) if contract is not None else None
    if place is None and step in _FUNCTIONS:
        located = function_of(getattr(code, _FUNCTIONS[step]) or code.run_fn)
        place = located[0] if located is not None else None
    advice = f" {error.advice}" if isinstance(error, TrainingFailed) else ""
    return Violation(step, str(place or SourceLine(contract or Path(module))), f"{error}{advice}")

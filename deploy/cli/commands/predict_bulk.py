"""`driftline predict --bulk`: many rows with a published version, without a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from deploy.cli.shared.command import UsageError
from deploy.views.output import show_json, stderr, stdout
from streaming.contracts.errors import NotFoundError, UnavailableError

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment
    from deploy.bulk.csv_rows import CsvRows
    from deploy.bulk.parts import PartCounts
    from deploy.bulk.topic_rows import TopicRows
    from streaming.contracts.log import RecordLog
    from streaming.contracts.records import OffsetRange

ROWS = 10_000
"""Rows of a part: what an interruption costs, some 10 MB of memory."""

_TIME_HELP = "ISO 8601 (UTC unless it has a zone), seconds since 1970, or an age: 2h, 7d."

Bulk = Annotated[
    Path | None, typer.Option("--bulk", help="CSV file of many rows, predicted without a server.")
]
FromTopic = Annotated[
    bool, typer.Option("--from-topic", help="Predict the events of the model's topic instead.")
]
Topic = Annotated[str, typer.Option(help="Another topic for --from-topic.")]
Since = Annotated[str | None, typer.Option(help=f"Events that arrived from then on: {_TIME_HELP}")]
Until = Annotated[str | None, typer.Option(help=f"Events that arrived before: {_TIME_HELP}")]
To = Annotated[
    Path | None, typer.Option("--to", help="File for inputs and predictions: .csv or .parquet.")
]
Version = Annotated[
    int, typer.Option(min=0, help="Version for --bulk and --from-topic. 0: the live one.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Replace the file, and drop parts of an interrupted run.")
]
PartRows = Annotated[
    int,
    typer.Option("--part", min=1, max=1_000_000, help="Rows that are written at once."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkOptions:
    """The options of the command that concern many rows."""

    file: Path | None
    topic: str | None
    """Topic of events; empty = the model's own."""
    to: Path | None
    version: int
    """0 = the live one."""
    since: str | None
    until: str | None
    fresh: bool
    rows_per_part: int

    def wanted(self, *, other: bool) -> bool:
        """Whether many rows are to be predicted; `other` = rows for the server are given.

        Raises
        ------
        UsageError
            When the options contradict each other.
        """
        if self.file is None and self.topic is None:
            if self.to or self.version or self.fresh or self.since or self.until:
                raise UsageError("--to, --version, --fresh and the times belong to --bulk.")
            return False
        if other:
            raise UsageError("--bulk and --from-topic take no rows, --last or --user.")
        return True

    @property
    def question(self) -> str:
        """What is asked of a topic; empty for a file."""
        if self.topic is None:
            return ""
        return f"{self.topic} since {self.since} until {self.until}"


def predict_bulk(
    deployment: Deployment, model: str, options: BulkOptions, *, columns: Sequence[str], json: bool
) -> None:
    """Predict the rows and say what was done; see the command's help."""
    from deploy.bulk.parts import Parts, RunIdentity
    from deploy.bulk.predictor import Predictor
    from deploy.bulk.run import predict_all
    from retrain.engines.model_store import FolderStore

    if options.to is None:
        raise UsageError("Name the file for the predictions: --to FILE.csv or FILE.parquet.")
    contract, task, began = deployment.contract(model), deployment.task(model), time.monotonic()
    store = FolderStore(deployment.artifact_root / "models")
    version = options.version or _live(deployment, model)
    folder = store.path(model, version)
    store.verify(model, version)
    source, close = _source(deployment, model, options)
    try:
        identity = RunIdentity(
            model=model,
            version=version,
            digest=store.record(model, version).artifact.digest,
            source=source.identity(),
            rows_per_part=options.rows_per_part,
            question=options.question,
            spans=getattr(source, "spans", ()),
        )
        parts = Parts(options.to, identity, fresh=options.fresh)
        resumed = parts.counts.rows
        if resumed:
            stderr.print(f"{resumed:,} rows were predicted before; going on behind them.")
        allowed = deployment.settings.artifacts.allowed_operations
        with Predictor(folder, task, allowed) as predictor, _progress(resumed) as advance:
            counts = predict_all(
                source, predictor.predict, parts, features=contract.features, columns=columns,
                classes=task.classes, on_part=advance,
            )  # fmt: skip
    finally:
        close()
    _show(options, identity, counts, resumed, time.monotonic() - began, json=json)


def _live(deployment: Deployment, model: str) -> int:
    from deploy.records import reader
    from streaming.contracts.records import Promotion

    try:
        with deployment.log() as log:
            promotions = reader.newest(log, Promotion, model, 1)
    except UnavailableError as error:
        raise UnavailableError(
            f"Which version is live is on the log. --version N names one without it. {error}"
        ) from error
    if not promotions:
        raise NotFoundError(
            f"No version of {model} is live yet; name one with --version, or see"
            f" `driftline rollout status {model}`."
        )
    return promotions[-1].version


def _source(
    deployment: Deployment, model: str, options: BulkOptions
) -> tuple[CsvRows | TopicRows, Any]:
    """The rows, and how to close them."""
    contract = deployment.contract(model)
    if (options.file is None) == (options.topic is None):
        raise UsageError("Give --bulk FILE.csv or --from-topic.")
    if options.file is not None:
        from deploy.bulk.csv_rows import CsvRows

        if options.since or options.until:
            raise UsageError("--since and --until belong to --from-topic.")
        return CsvRows(options.file, contract.features, options.rows_per_part), lambda: None
    from deploy.bulk.parts import interrupted
    from deploy.bulk.topic_rows import TopicRows

    log, now = deployment.open_log(), time.time()
    try:
        before = None if options.fresh or options.to is None else interrupted(options.to)
        if before is not None and before.question == options.question:
            spans: Sequence[OffsetRange] = before.spans  # new events have come since
        else:
            spans = _spans(log, options.topic or contract.events_topic, options, now)
        rows = TopicRows(
            log, contract, spans, options.rows_per_part, now=now, schemas=deployment.schemas()
        )
    except BaseException:
        log.close()
        raise
    return rows, log.close


def _spans(log: RecordLog, topic: str, options: BulkOptions, now: float) -> list[OffsetRange]:
    """The offsets of the events that arrived in the period."""
    spans = {span.partition: span for span in log.spans(topic, since=_time(options.since, now))}
    for later in log.spans(topic, since=_time(options.until, now)) if options.until else ():
        if later.partition in spans:
            span = spans[later.partition]
            stop = max(span.start, min(span.stop, later.start))
            spans[later.partition] = msgspec.structs.replace(span, stop=stop)
    return [span for _, span in sorted(spans.items())]


def _time(text: str | None, now: float) -> float | None:
    from deploy.config import units

    try:
        return None if text is None else units.parse_time(text, now)
    except ValueError as error:
        raise UsageError(str(error)) from error


@contextmanager
def _progress(resumed: int) -> Iterator[Callable[[PartCounts], None]]:
    """A line on standard error that changes, where somebody looks."""
    began = time.monotonic()
    with stderr.status("Predicting …") as status:

        def advance(counts: PartCounts) -> None:
            rate = (counts.rows - resumed) / max(1e-9, time.monotonic() - began)
            status.update(f"{counts.rows:,} rows predicted, {rate:,.0f} a second")

        yield advance


def _show(
    options: BulkOptions,
    identity: Any,
    counts: PartCounts,
    resumed: int,
    seconds: float,
    *,
    json: bool,
) -> None:
    if json:
        show_json(
            {
                "model": identity.model,
                "version": identity.version,
                "digest": identity.digest,
                "file": str(options.to),
                "rows": counts.rows,
                "unusable": counts.unusable,
                "first_problem": counts.first_problem,
                "resumed_rows": resumed,
                "seconds": round(seconds, 3),
            }
        )
        return
    stdout.print(
        f"{options.to}: {counts.rows:,} rows, predicted by version {identity.version} of"
        f" {identity.model} in {seconds:.1f} s.",
        soft_wrap=True,
    )
    if counts.unusable:
        stderr.print(
            f"{counts.unusable:,} rows have no prediction; the column problem says why. First:"
            f" {counts.first_problem.rstrip('.')}.",
            soft_wrap=True,
        )

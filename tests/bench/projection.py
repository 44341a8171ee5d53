"""The projection with 50 models and 100,000 verdicts: the duration of every query."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.projection.lineage import find, steps
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import BATCH, ProjectionWriter
from streaming.contracts.codec import encode
from streaming.contracts.log import Message
from streaming.contracts.records import (
    ApprovalOutcome,
    ApprovalRequest,
    Artifact,
    CommandReply,
    DeadLetter,
    Distances,
    DriftVerdict,
    FeatureVerdict,
    Histogram,
    ModelVersion,
    Promotion,
    Record,
    RolloutStatus,
)
from streaming.contracts.topics import TOPIC_OF
from tests.bench.figures import Spread
from tests.bench.first_page import configuration, measure, place_of

MODELS = 50
FEATURES = 11
ROUNDS = 40


class ProjectionBench:
    """A filled projection, its queries, and the console's first page.

    Parameters
    ----------
    folder:
        An empty folder, also for the state of a console.
    verdicts:
        Drift verdicts of all models.
    """

    def __init__(self, folder: Path, *, verdicts: int) -> None:
        self.file = configuration(folder, [f"m{number:02}" for number in range(MODELS)])
        self.folder, self.verdicts = place_of(self.file), verdicts
        self._ends: dict[str, int] = {}

    def run(self) -> tuple[Spread, ...]:
        """Wall and CPU time of all queries, of the slowest one, and of feeding a message."""
        self._fill()
        reader = ProjectionReader(self.folder)
        durations = {name: self._measure(query) for name, query in queries(reader).items()}
        slowest = max(durations, key=lambda name: sorted(durations[name])[ROUNDS // 2])
        everything = [seconds for measured in durations.values() for seconds in measured]
        size = f"{MODELS} models × {self.verdicts // MODELS:,} verdicts"
        cpu = self._measure(queries(reader)[slowest], time.thread_time)
        return (
            _spread(f"query of the console's projection, {size}", everything),
            _spread(f"the slowest of {len(durations)} queries: {slowest}", durations[slowest]),
            _spread(f"CPU of that query: {slowest}", cpu),
            _spread("feeding one verdict to it", self._feed_one_by_one()),
            self._first_page(reader),
        )

    def _first_page(self, reader: ProjectionReader) -> Spread:
        reader.close()
        page = measure(self.file, "m25")
        sizes = (
            f"{page.page_bytes / 1000:.0f} kB, {1000 * page.cpu_seconds:.0f} ms of CPU, "
            f"console process {page.console_bytes / 1e6:.0f} MB, "
            f"its drawing process {page.drawing_bytes / 1e6:.0f} MB"
        )
        return _spread(f"first page of {MODELS} models ({sizes})", list(page.seconds))

    def _measure(
        self, query: Callable[[], object], clock: Callable[[], float] = time.perf_counter
    ) -> list[float]:
        query()
        measured = []
        for _ in range(ROUNDS):
            begun = clock()
            query()
            measured.append(clock() - begun)
        return measured

    def _fill(self) -> None:
        writer = ProjectionWriter(self.folder)
        batch: list[Message] = []
        for record in records(self.verdicts):
            batch.append(self._message(record))
            if len(batch) == BATCH:
                writer.apply(batch)
                batch = []
        writer.apply(batch)
        writer.close()

    def _feed_one_by_one(self) -> list[float]:
        writer = ProjectionWriter(self.folder)
        messages = [self._message(verdict(f"m{n % MODELS:02}", 10**6 + n)) for n in range(ROUNDS)]
        measured = []
        for message in messages:
            begun = time.perf_counter()
            writer.apply([message])
            measured.append(time.perf_counter() - begun)
        writer.close()
        return measured

    def _message(self, record: Record) -> Message:
        topic = TOPIC_OF[type(record)].name
        offset = self._ends.get(topic, 0)
        self._ends[topic] = offset + 1
        return Message(
            topic=topic, partition=0, offset=offset, key=None, value=encode(record), time=record.at
        )


def queries(reader: ProjectionReader) -> dict[str, Callable[[], object]]:
    """What the pages ask, for a model in the middle."""
    models = [f"m{number:02}" for number in range(MODELS)]
    version = find(reader, "5", "m25")
    assert version is not None
    verdict_id = "m25-verdict-000100"
    return {
        "newest verdict of each model": lambda: reader.newest_of_each(DriftVerdict, models),
        "newest status of each model": lambda: reader.newest_of_each(RolloutStatus, models),
        "open approvals": reader.open_requests,
        "timeline of a model": lambda: reader.timeline("m25", since=0.0, count=200),
        "24 full verdicts of a model": lambda: reader.records(DriftVerdict, "m25", 24),
        "versions of a model": lambda: reader.records(ModelVersion, "m25", 20),
        "dead letters": lambda: reader.newest(DeadLetter, count=200),
        "reply to a command": lambda: reader.of_subject(CommandReply, "m25-command"),
        "version by number": lambda: find(reader, "5", "m25"),
        "version of any model": lambda: find(reader, "5"),
        "record by the beginning of its id": lambda: reader.find_by_prefix("m25-verdict-0001"),
        "record at an offset": lambda: reader.at_position("drift-verdicts", 0, 77),
        "causes, two hundred records": lambda: steps(
            reader, version, "causes", depth=100, count=200
        ),
        "effects": lambda: reader.effects(verdict_id),
        "verdicts since a time": lambda: reader.since(DriftVerdict, 0.0, 200),
        "verdicts before a time": lambda: reader.before(DriftVerdict, "m25", 9000.0, 60),
    }


def records(verdicts: int) -> Iterator[Record]:
    """The records of all models: verdicts, versions with their promotions and approvals."""
    models = [f"m{number:02}" for number in range(MODELS)]
    for number in range(verdicts // MODELS):
        for model in models:
            yield verdict(model, number)
            if number % 200 == 0:
                yield from _version(model, number // 200 + 1, number)


def verdict(model: str, number: int) -> DriftVerdict:
    """A verdict of the size that the demonstration's have."""
    share = tuple(round(1 / 17 + 0.001 * step, 6) for step in range(17))
    histogram = Histogram(
        edges=tuple(float(edge) for edge in range(18)), reference=share, window=share
    )
    features = tuple(
        FeatureVerdict(
            feature=f"feature_{place}",
            outcome="stable",
            reason=f"feature_{place}: location 0.1 sd, below its limit of 0.25 sd",
            n=2000,
            effect=0.1 + number % 7 / 100,
            p=0.4,
            p_limit=0.001,
            hits=0,
            of=5,
            tests=(),
            limit_sd=0.25,
            distances=Distances(psi=0.01, jensen_shannon=0.001, l_infinity=0.01),
            histogram=histogram,
        )
        for place in range(FEATURES)
    )
    at = 60.0 * number
    return DriftVerdict(
        record_id=f"{model}-verdict-{number:06}",
        model=model,
        at=at,
        caused_by=(f"{model}-window-{number:06}",),
        window_start=at - 60.0,
        window_end=at,
        outcome="stable",
        reason="No feature is beyond its limit.",
        rows=2000,
        offsets=(),
        reference_id="",
        reference_version=1,
        features=features,
    )


def _version(model: str, version: int, number: int) -> Iterator[Record]:
    at = 60.0 * number + 1.0
    artifact = Artifact(uri=f"file:///models/{model}/{version}", digest="d" * 64)
    cause = tuple(f"{model}-verdict-{past:06}" for past in range(max(0, number - 30), number))
    before = (f"{model}-promotion-{version - 1}",) if version > 1 else ()
    yield ModelVersion(
        record_id=f"{model}-version-{version}",
        model=model,
        at=at,
        caused_by=(*cause, *before),
        version=version,
        request_id=f"{model}-request-{version}",
        artifact=artifact,
        base_version=version - 1,
        blessed=True,
        reason="AUC 0.900 is above the floor.",
        evaluation=(),
        components=(),
        training_rows=5000,
        window_start=0.0,
        window_end=at,
        load_seconds=0.2,
        warm_predict_seconds=0.002,
    )
    yield from _approval(model, version, at)
    yield Promotion(
        record_id=f"{model}-promotion-{version}",
        model=model,
        at=at + 3.0,
        caused_by=(f"{model}-version-{version}", f"{model}-approval-{version}"),
        version=version,
        replaced=version - 1,
        change="promoted",
        reason="every gate passed",
        artifact=artifact,
        reference=None,
        window_start=0.0,
        window_end=at,
    )


def _approval(model: str, version: int, at: float) -> Iterator[Record]:
    """A request and, for most versions, its outcome."""
    request = f"{model}-approval-{version}"
    yield ApprovalRequest(
        record_id=request,
        model=model,
        at=at + 1.0,
        caused_by=(f"{model}-version-{version}",),
        rollout_id=f"{model}-rollout-{version}",
        version=version,
        champion=version - 1,
        stage="before-canary",
        artifact="a",
        evaluation="e",
        digest="d",
        deadline=at + 9000.0,
        reason="An engineer decides.",
        on_yes="It goes on.",
        on_no="It ends.",
        on_deadline="It ends.",
    )
    if version % 10:
        yield ApprovalOutcome(
            record_id=f"{model}-outcome-{version}",
            model=model,
            at=at + 2.0,
            request_id=request,
            rollout_id=f"{model}-rollout-{version}",
            version=version,
            outcome="approved",
            reason="ann said yes.",
        )


def _spread(name: str, seconds: list[float]) -> Spread:
    ordered = sorted(seconds)
    return Spread(
        name=name,
        n=len(ordered),
        p50=ordered[len(ordered) // 2],
        p99=ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))],
        largest=ordered[-1],
    )

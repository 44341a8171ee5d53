"""Verdicts on windows are computed again from the log, and what was changed or is gone is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace

from deploy.recompute.windows import recompute_windows, replay_windows
from streaming import summary
from streaming.baseline.merge import build_reference
from streaming.contracts import topics
from streaming.contracts.codec import encode
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.recomputed import Recomputed
from streaming.contracts.records import (
    Artifact,
    DriftVerdict,
    Promotion,
    Record,
    RulesInForce,
    WindowSummary,
)
from streaming.contracts.tolerance import Tolerance
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.history import history_digest
from streaming.drift.window_rules import WindowRules
from streaming.engines.artifact_store import ArtifactStore

CONTRACT = ModelContract(
    model="m",
    module="none",
    events_topic="trips",
    labels_topic="tips",
    key="id",
    time="t",
    features=(FeatureSpec(name="fare", kind="number"),),
)
RULES = (DriftRules(), DriftRules(suspected_sd=0.3, sustained=2, of=4))
"""The rules at first, and those after a change of the settings."""
CHANGE = 6
WINDOWS = 10


def window(at: int, shift: float, rows: int = 1_000) -> WindowSummary:
    fares = np.random.default_rng(at + 100).normal(30.0 + 3.0 * shift, 3.0, rows)
    batch = pa.RecordBatch.from_pydict({"fare": fares})
    return WindowSummary(
        record_id=f"window-{at}",
        model="m",
        at=60.0 * (at + 1),
        window_start=60.0 * at,
        window_end=60.0 * (at + 1),
        accepted=rows,
        dead_letters=0,
        late=0,
        offsets_read=rows,
        offsets=(),
        features=summary.finish(summary.add(summary.start(CONTRACT), batch)),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(Path(tmp_path_factory.mktemp("artifacts")))


@pytest.fixture(scope="module")
def written(store: ArtifactStore) -> list[Record]:
    """Ten windows with a shift from the fourth on; the settings change at the seventh."""
    training = [window(-1, 0.0, rows=20_000)]
    stored = build_reference(training, model="m", version=1, at=0.0)
    promotion = Promotion(
        record_id="promotion-1",
        model="m",
        at=0.0,
        version=1,
        replaced=0,
        change="initial",
        reason="",
        artifact=Artifact(uri="file:///x", digest="d"),
        reference=store.put("reference.json", encode(stored)),
        window_start=0.0,
        window_end=0.0,
    )
    records: list[Record] = [promotion]
    reference, history = prepare_reference(stored, CONTRACT), DriftHistory()
    for at in range(WINDOWS):
        rules = WindowRules(
            contract=CONTRACT, drift=RULES[at >= CHANGE], tolerance=Tolerance(), schema_text=""
        )
        if at in (0, CHANGE):
            records.append(rules.record(code="1.0+abc", at=60.0 * at))
        summarised = window(at, 0.7 if at >= 3 else 0.0)
        before = history_digest(history.for_reference("promotion-1"))
        verdict, history = judge_drift(
            summarised, reference, "promotion-1", history, rules.drift, CONTRACT
        )
        digests = {"rules_digest": rules.digest("1.0+abc"), "history_digest": before}
        records += [summarised, replace(verdict, **digests)]
    return records


def log_of(records: Sequence[Record]) -> MemoryLog:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append(records)
    return log


def verdicts(records: Sequence[Record]) -> list[DriftVerdict]:
    return [record for record in records if isinstance(record, DriftVerdict)]


def results(records: Sequence[Record], store: ArtifactStore) -> list[Recomputed]:
    return list(replay_windows(log_of(records), store, "m"))


def test_each_verdict_is_equal_also_after_a_change_of_the_settings(
    written: list[Record], store: ArtifactStore
) -> None:
    assert {verdict.outcome for verdict in verdicts(written)} > {"stable"}
    assert [result.outcome for result in results(written, store)] == ["equal"] * WINDOWS
    assert {result.code for result in results(written, store)} == {"1.0+abc"}


def test_one_verdict_is_computed_again_without_all_others(
    written: list[Record], store: ArtifactStore
) -> None:
    (result,) = recompute_windows(log_of(written), store, "m", verdicts(written)[-1:])
    assert result.outcome == "equal"


def test_a_changed_verdict_is_named_with_its_fields(
    written: list[Record], store: ArtifactStore
) -> None:
    third = verdicts(written)[2]
    forged = replace(third, outcome="drifted")
    log = [forged if record is third else record for record in written]
    (other,) = (result for result in results(log, store) if result.outcome != "equal")
    assert (other.record_id, other.outcome) == (third.record_id, "differs")
    assert [entry.field for entry in other.differences] == ["outcome"]
    assert (other.differences[0].recorded, other.differences[0].recomputed) == (
        '"drifted"',
        '"stable"',
    )


def test_windows_that_are_gone_leave_verdicts_that_cannot_be_computed_again(
    written: list[Record], store: ArtifactStore
) -> None:
    """The verdict on a window beyond retention, and those whose history needs it."""
    log = [record for record in written if record.record_id != "window-4"]
    outcomes = [result.outcome for result in results(log, store)]
    assert outcomes[:4] == ["equal"] * 4
    assert outcomes[4:6] == ["missing", "missing"]
    reasons = [result.reason for result in results(log, store)]
    assert "window-4" in reasons[4]
    assert "another history" in reasons[5]


def test_changed_rules_and_lost_rules_are_told_apart(
    written: list[Record], store: ArtifactStore
) -> None:
    first = next(record for record in written if isinstance(record, RulesInForce))
    forged = replace(first, text=first.text.replace('"suspected_sd":0.25', '"suspected_sd":0.2'))
    assert forged != first
    log = [forged if record is first else record for record in written]
    assert [result.outcome for result in results(log, store)][:CHANGE] == ["differs"] * CHANGE
    without = [record for record in written if record is not first]
    assert [result.outcome for result in results(without, store)][:CHANGE] == ["missing"] * CHANGE


def test_a_verdict_from_before_rules_were_recorded_says_so(
    written: list[Record], store: ArtifactStore
) -> None:
    log = [
        replace(record, rules_digest="", history_digest="")
        if isinstance(record, DriftVerdict)
        else record
        for record in written
    ]
    assert {result.outcome for result in results(log, store)} == {"missing"}
    assert "does not name the rules" in results(log, store)[0].reason

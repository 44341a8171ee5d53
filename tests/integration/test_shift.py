"""A shift of the inputs: one retrain, a canary, a promotion, and a reference that fits again."""

from __future__ import annotations

from collections import Counter

from deploy.recompute.chain import recompute_chain
from deploy.recompute.quality import replay_quality
from deploy.recompute.rollouts import recompute_rollouts
from deploy.recompute.windows import replay_windows
from deploy.records.lineage import trace
from serving.ports import ALL_STABLE
from streaming.contracts.records import (
    AnyRecord,
    CanaryVerdict,
    DriftVerdict,
    Promotion,
    RetrainRequest,
    RowSelection,
    SchemaVerdict,
    TrainingRows,
)
from tests.integration.control_loop import ControlLoop, to_version_one


def assert_everything_is_computed_again(loop: ControlLoop) -> None:
    """Every verdict on the log, and each of the chain behind version 2, byte for byte."""
    model = loop.contract.model
    windows = replay_windows(loop.log, loop.store, model)
    decided: list[AnyRecord] = [*loop.records(Promotion), *loop.records(CanaryVerdict)]
    rollouts = recompute_rollouts(loop.log, model, decided)
    assert [result for result in (*windows, *rollouts) if result.outcome != "equal"] == []
    kinds = Counter(result.kind for result in (*windows, *rollouts))
    assert kinds["drift-verdict"] == len(loop.records(DriftVerdict))
    assert kinds["schema-verdict"] == len(loop.records(SchemaVerdict))
    assert kinds["canary-verdict"] == len(loop.records(CanaryVerdict))
    assert kinds["rollout-status"] > 5
    quality = {result.outcome for result in replay_quality(loop.log, model)}
    if not loop.restarts:  # a label service that starts forgets versions from before the live one
        assert quality == {"equal"}
    assert "differs" not in quality
    chain = recompute_chain(loop.log, loop.store, trace(loop.log, "2", model), no_rows)
    judged = [result for result in chain if result.kind != "model-version"]  # a double's: no rules
    assert {result.outcome for result in judged} == {"equal"}
    assert {"promotion", "drift-verdict"} <= {result.kind for result in chain}


def no_rows(record: TrainingRows, request: RetrainRequest) -> RowSelection:
    raise AssertionError("The example builder of this loop chooses no rows.")


def test_a_shift_leads_to_one_retrain_a_promotion_and_a_new_reference(loop: ControlLoop) -> None:
    to_version_one(loop)
    quiet = [loop.window() for _ in range(6)]
    assert {verdict.outcome for verdict in quiet} == {"stable"}

    for _ in range(60):
        loop.window(shifted=True)
        if len(loop.records(Promotion)) > 1:
            break
    first, second = loop.records(Promotion)
    assert (first.change, first.version) == ("initial", 1)
    assert (second.change, second.version, second.replaced) == ("promoted", 2, 1)
    requests = loop.records(RetrainRequest)
    assert [request.cause for request in requests] == ["initial", "drift"]

    after = [loop.window(shifted=True) for _ in range(6)]
    assert {verdict.outcome for verdict in after} == {"stable"}
    assert {verdict.reference_version for verdict in after} == {2}
    assert len(loop.records(RetrainRequest)) == 2
    weights = [split.canary for split in loop.serving.router.history]
    assert weights[:1] != [100]
    assert loop.serving.router.split == ALL_STABLE
    assert loop.serving.servers.loaded["stable"] == 2

    assert_everything_is_computed_again(loop)
    chain = trace(loop.log, "2", loop.contract.model)
    kinds = [type(chain.record)]
    while chain.causes:
        chain = chain.causes[0]
        kinds.append(type(chain.record))
    assert kinds[0] is Promotion
    assert DriftVerdict in kinds

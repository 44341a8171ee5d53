"""A shift of the inputs: one retrain, a canary, a promotion, and a reference that fits again."""

from __future__ import annotations

from deploy.records.lineage import trace
from serving.ports import ALL_STABLE
from streaming.contracts.records import DriftVerdict, Promotion, RetrainRequest
from tests.integration.control_loop import ControlLoop, to_version_one


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

    chain = trace(loop.log, "2", loop.contract.model)
    kinds = [type(chain.record)]
    while chain.causes:
        chain = chain.causes[0]
        kinds.append(type(chain.record))
    assert kinds[0] is Promotion
    assert DriftVerdict in kinds

"""The inputs move: one retrain, a canary, a promotion, and a reference that fits again."""

from __future__ import annotations

from deploy.records import reader
from serving.ports import ALL_STABLE
from streaming.contracts.records import DriftVerdict, Promotion, RetrainRequest
from tests.integration.walk import Walk, to_version_one


def test_a_shift_leads_to_one_retrain_a_promotion_and_a_new_reference(walk: Walk) -> None:
    to_version_one(walk)
    quiet = [walk.window() for _ in range(6)]
    assert {verdict.outcome for verdict in quiet} == {"stable"}

    for _ in range(60):
        walk.window(shifted=True)
        if len(walk.all(Promotion)) > 1:
            break
    first, second = walk.all(Promotion)
    assert (first.change, first.version) == ("initial", 1)
    assert (second.change, second.version, second.replaced) == ("promoted", 2, 1)
    requests = walk.all(RetrainRequest)
    assert [request.cause for request in requests] == ["initial", "drift"]

    after = [walk.window(shifted=True) for _ in range(6)]
    assert {verdict.outcome for verdict in after} == {"stable"}
    assert {verdict.reference_version for verdict in after} == {2}
    assert len(walk.all(RetrainRequest)) == 2
    weights = [split.canary for split in walk.world.splitter.history]
    assert weights[:1] != [100]
    assert walk.world.splitter.split == ALL_STABLE
    assert walk.world.servers.loaded["stable"] == 2

    chain = reader.trace(walk.log, "2", walk.contract.model)
    kinds = [type(chain.record)]
    while chain.causes:
        chain = chain.causes[0]
        kinds.append(type(chain.record))
    assert kinds[0] is Promotion
    assert DriftVerdict in kinds

"""Concept drift: the relation of inputs and labels changes while the inputs stay the same."""

from __future__ import annotations

from deploy.records.lineage import trace
from streaming.contracts.records import DriftVerdict, Promotion, QualityVerdict, RetrainRequest
from tests.integration.control_loop import ControlLoop, to_version_one


def test_concept_drift_leads_to_one_retrain(loop: ControlLoop) -> None:
    loop.label_delay = 8.0
    to_version_one(loop)
    for _ in range(20):
        loop.window()
        if realised(loop, 1, "stable"):
            break
    assert realised(loop, 1, "stable")
    assert not realised(loop, 1, "degraded")

    shift_began = loop.clock.now()
    for _ in range(60):
        loop.window(concept_shifted=True)
        if len(loop.records(Promotion)) > 1:
            break
    assert {
        verdict.outcome for verdict in loop.records(DriftVerdict) if verdict.at > shift_began
    } == {"stable"}
    assert [request.cause for request in loop.records(RetrainRequest)] == ["initial", "concept"]
    first = realised(loop, 1, "degraded")[0]
    assert first.cause == "concept"
    assert first.shift_start >= shift_began
    assert [verdict.version for verdict in loop.records(Promotion)] == [1, 2]

    for _ in range(16):
        loop.window(concept_shifted=True)
    assert len(realised(loop, 2, "stable")) >= 3
    assert not realised(loop, 2, "degraded")
    assert len(loop.records(RetrainRequest)) == 2
    ids = [message.value for span in loop.log.spans("quality-verdicts") for message in
           loop.log.read(span)]  # fmt: skip
    assert len(ids) == len(loop.records(QualityVerdict)), "each verdict was published once"

    chain = trace(loop.log, "2", loop.contract.model)
    kinds = [type(chain.record)]
    while chain.causes:
        chain = chain.causes[0]
        kinds.append(type(chain.record))
    assert QualityVerdict in kinds


def realised(loop: ControlLoop, version: int, outcome: str) -> list[QualityVerdict]:
    return [
        verdict
        for verdict in loop.records(QualityVerdict)
        if verdict.stage == "realised" and verdict.version == version and verdict.outcome == outcome
    ]

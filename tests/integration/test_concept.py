"""What the labels mean changes while the inputs stand still."""

from __future__ import annotations

from deploy.records import reader
from streaming.contracts.records import DriftVerdict, Promotion, QualityVerdict, RetrainRequest
from tests.integration.walk import Walk, to_version_one


def test_tips_that_change_their_meaning_lead_to_one_retrain(walk: Walk) -> None:
    walk.label_delay = 8.0
    to_version_one(walk)
    for _ in range(20):
        walk.window()
        if realised(walk, 1, "stable"):
            break
    assert realised(walk, 1, "stable")
    assert not realised(walk, 1, "degraded")

    began = walk.clock.now()
    for _ in range(60):
        walk.window(turned=True)
        if len(walk.all(Promotion)) > 1:
            break
    assert {one.outcome for one in walk.all(DriftVerdict) if one.at > began} == {"stable"}
    assert [request.cause for request in walk.all(RetrainRequest)] == ["initial", "concept"]
    first = realised(walk, 1, "degraded")[0]
    assert first.cause == "concept"
    assert first.shift_start >= began
    assert [one.version for one in walk.all(Promotion)] == [1, 2]

    for _ in range(16):
        walk.window(turned=True)
    assert len(realised(walk, 2, "stable")) >= 3
    assert not realised(walk, 2, "degraded")
    assert len(walk.all(RetrainRequest)) == 2
    ids = [message.value for span in walk.log.spans("quality-verdicts") for message in
           walk.log.read(span)]  # fmt: skip
    assert len(ids) == len(walk.all(QualityVerdict)), "each verdict was given once"

    chain = reader.trace(walk.log, "2", walk.contract.model)
    kinds = [type(chain.record)]
    while chain.causes:
        chain = chain.causes[0]
        kinds.append(type(chain.record))
    assert QualityVerdict in kinds


def realised(walk: Walk, version: int, outcome: str) -> list[QualityVerdict]:
    return [
        one
        for one in walk.all(QualityVerdict)
        if one.stage == "realised" and one.version == version and one.outcome == outcome
    ]

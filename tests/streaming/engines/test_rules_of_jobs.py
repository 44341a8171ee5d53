"""A job's rules are on Kafka before it runs, under the digest that its verdicts name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streaming.contracts.codec import decode_as
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import RulesInForce
from streaming.contracts.topics import RULES_IN_FORCE
from streaming.drift import DriftRules
from streaming.drift.window_rules import read_window_rules
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.kafka.log import KafkaLog
from streaming.job.model_step import ModelState, ModelStep
from streaming.job.settings import JobSettings, ModelJob, window_rules
from streaming.job.submit import write_rules
from streaming.windowing.accumulator import WindowCombiner

pytestmark = pytest.mark.engine

CONTRACT = ModelContract(
    model="m",
    module="none",
    events_topic="trips",
    labels_topic="tips",
    key="id",
    time="t",
    features=(FeatureSpec(name="fare", kind="number", sentinels=(-999, "none")),),
)


def test_the_rules_of_a_job_are_written_under_the_digest_of_its_verdicts(
    broker: Any, tmp_path: Path
) -> None:
    job = ModelJob(contract=CONTRACT, rules=DriftRules(suspected_sd=0.3), code="1.0+abc")
    settings = JobSettings(models=(job,), bootstrap=broker.bootstrap, artifact_root=str(tmp_path))
    log = KafkaLog(broker.bootstrap)
    log.ensure([RULES_IN_FORCE])
    write_rules(settings)
    (span,) = log.spans(RULES_IN_FORCE.name)
    *_, message = log.read(span)
    log.close()
    assert message.value is not None
    record = decode_as(message.value, RulesInForce)
    assert read_window_rules(record) == window_rules(job)
    assert record.code == "1.0+abc"
    step = ModelStep(job, ArtifactStore(tmp_path))
    empty = WindowCombiner(CONTRACT).window({}, 60_000)
    closed, _ = step.close(60_000, [empty], ModelState())
    assert closed.drift.rules_digest == record.digest

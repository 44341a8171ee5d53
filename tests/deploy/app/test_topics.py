"""Every topic of the applications is created with the partitions of its own settings."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from deploy.app.deployment import Deployment
from deploy.app.topics import STATE_TOPIC, ensure_topics
from streaming.contracts.topics import RECORD_TOPICS, RETRAIN_CLAIMS, Topic


class RecordedTopics:
    """A log that only remembers the topics it should have."""

    def __init__(self) -> None:
        self.topics: list[Topic] = []

    def ensure(self, topics: Iterable[Topic]) -> None:
        self.topics += topics


@pytest.mark.parametrize(
    ("events", "labels", "predictions"),
    [(1, 2, 3), (3, 1, 2), (2, 3, 1), (4, 4, None), (6, 1, None)],
)
def test_a_topic_has_the_partitions_of_its_settings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    events: int,
    labels: int,
    predictions: int | None,
) -> None:
    model: dict[str, object] = {
        "module": "retrain.models.big_tipper",
        "events": {"topic": "trips", "key": "trip_id", "partitions": events},
        "labels": {"topic": "tips", "key": "trip_id", "partitions": labels},
    }
    expected = {"trips": events, "tips": labels}
    if predictions is not None:
        model["predictions"] = {"topic": "served", "partitions": predictions}
        expected["served"] = predictions
    file = tmp_path / "driftline.yaml"
    file.write_text(yaml.safe_dump({"models": {"m": model}}))
    log = RecordedTopics()
    monkeypatch.setattr(Deployment, "log", lambda deployment: nullcontext(log))

    ensure_topics(Deployment.load(file))

    own = {topic.name for topic in (*RECORD_TOPICS, STATE_TOPIC, RETRAIN_CLAIMS)}
    assert {topic.name: topic.partitions for topic in log.topics if topic.name not in own} == (
        expected
    )
    assert own <= {topic.name for topic in log.topics}

"""Creates the topics that a deployment needs."""

from __future__ import annotations

from deploy.app.deployment import Deployment
from streaming.contracts.topics import RECORD_TOPICS, Topic, applications_topic

DAEMON_APP = "driftline-daemon"
"""Faust's application id: consumer group of the daemon and prefix of its changelog."""
STATE_TOPIC = Topic(
    name=f"{DAEMON_APP}-state-changelog", record=None, key="model", cleanup="compact"
)
"""Changelog of the daemon's state table; declared here because Faust must not create topics."""


def ensure_topics(deployment: Deployment) -> None:
    """Create every missing topic: records, daemon state, and the applications' topics."""
    topics = [*RECORD_TOPICS, STATE_TOPIC]
    for name, section in deployment.settings.models.items():
        contract = deployment.contract(name)
        for topic in (contract.events_topic, contract.labels_topic):
            topics.append(applications_topic(topic, partitions=contract.partitions))
        predictions = section.predictions
        if predictions is not None:
            topics.append(applications_topic(predictions.topic, partitions=predictions.partitions))
    with deployment.log() as log:
        log.ensure(topics)

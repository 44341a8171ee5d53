"""Creates the topics that a deployment needs."""

from __future__ import annotations

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from deploy.app.deployment import Deployment
from streaming.contracts.errors import UnavailableError
from streaming.contracts.topics import RECORD_TOPICS, Topic, applications_topic

DAEMON_APP = "driftline-daemon"
"""Faust's application id: consumer group of the daemon and prefix of its changelog."""
STATE_TOPIC = Topic(
    name=f"{DAEMON_APP}-state-changelog", record=None, key="model", cleanup="compact"
)
"""Changelog of the daemon's state table; declared here because Faust must not create topics."""

FIRST_RESPONSE_SECONDS = 20.0
"""Time for the first response of a broker that has just started, on a busy machine."""


def ensure_topics_after_start(deployment: Deployment) -> None:
    """`ensure_topics` on the embedded Kafka when it has just started: it may respond slowly."""
    if deployment.settings.kafka.bootstrap:  # another Kafka, which this stack did not start
        ensure_topics(deployment)
        return
    retried = retry(
        retry=retry_if_exception_type(UnavailableError),
        stop=stop_after_delay(FIRST_RESPONSE_SECONDS),
        wait=wait_fixed(0.5),
        reraise=True,
    )
    retried(ensure_topics)(deployment)


def ensure_topics(deployment: Deployment) -> None:
    """Create every missing topic: records, daemon state, and the applications' topics."""
    topics = [*RECORD_TOPICS, STATE_TOPIC]
    for section in deployment.settings.models.values():
        for settings in (section.events, section.labels, section.predictions):
            if settings is not None:
                topics.append(applications_topic(settings.topic, partitions=settings.partitions))
    with deployment.log() as log:
        log.ensure(topics)

"""Creates the topics that a deployment needs."""

from __future__ import annotations

from dataclasses import replace

from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from deploy.app.deployment import Deployment
from deploy.config.retention import planned_topics
from streaming.contracts.errors import UnavailableError
from streaming.contracts.topics import RETRAIN_CLAIMS, Topic

DAEMON_APP = "driftline-daemon"
"""Faust's application id: consumer group of the daemon and prefix of its changelog."""
STATE_TOPIC = Topic(
    name=f"{DAEMON_APP}-state-changelog",
    record=None,
    key="model",
    cleanup="compact",
    retention="for ever",
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


def deployment_topics(deployment: Deployment) -> tuple[Topic, ...]:
    """Every topic as the settings say it should be, the daemon's state and claims included."""
    replicas = deployment.settings.kafka.replicas
    others = (replace(topic, replicas=replicas) for topic in (STATE_TOPIC, RETRAIN_CLAIMS))
    return (*planned_topics(deployment.settings), *others)


def ensure_topics(deployment: Deployment) -> None:
    """Create every missing topic, and repair the settings of Driftline's own existing ones.

    Raises
    ------
    ConfigurationError
        When a topic cannot become what the settings say, or there are too few brokers.
    """
    with deployment.log() as log:
        log.ensure(deployment_topics(deployment))

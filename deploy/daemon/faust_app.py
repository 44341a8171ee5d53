"""The daemon as a Faust worker; the only file that imports Faust.

Faust brings the input topics, the changelogged state table and the timer;
`deploy.daemon.dispatcher` does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from deploy.app.deployment import Deployment
from deploy.app.topics import DAEMON_APP, ensure_topics
from deploy.daemon.assembly import labelled_versions, memory_ledger, model_controller
from deploy.daemon.controller import INPUTS, ModelController
from deploy.daemon.dispatcher import RecordDispatcher
from deploy.daemon.labelled_versions import LabelTicks
from deploy.daemon.state_store import ChangelogStore
from deploy.metrics.exporter import MetricsExporter
from deploy.metrics.limits import alert_settings
from streaming.contracts.codec import LARGEST_RECORD_BYTES

TICK_SECONDS = 1.0
HURRY_SECONDS = 0.5
"""Between two ticks of a rollout whose candidate has clients."""

log = structlog.get_logger()


def run(deployment: Deployment) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    import faust

    ensure_topics(deployment)
    models = deployment.settings.models
    max_features = {name: model.drift.exported_features for name, model in models.items()}
    exporter = MetricsExporter(max_features=max_features)
    for name, model in models.items():
        exporter.settings(name, alert_settings(model))
    exporter.progress("daemon", time.time())  # the first tick comes when its state is restored
    exporter.serve(deployment.ports.daemon_metrics)
    memory = memory_ledger(deployment)
    controllers = {name: model_controller(deployment, name, memory) for name in models}
    app = daemon_app(deployment, controllers, exporter)
    labels = LabelTicks(labelled_versions(deployment), exporter)
    app.timer(TICK_SECONDS, on_leader=False, name="labels")(labels.begin)
    worker = faust.Worker(app, loglevel="WARN", quiet=True, blocking_timeout=30.0)
    log.info("daemon.started", models=sorted(controllers))
    worker.execute_from_commandline()


def daemon_app(
    deployment: Deployment, controllers: Mapping[str, ModelController], exporter: MetricsExporter
) -> Any:
    """The Faust application over the models' controllers, on the deployment's Kafka."""
    app = _faust_app(deployment.bootstrap, deployment.home / "daemon")
    states = app.Table(
        "state",
        key_type=bytes,
        value_type=bytes,
        partitions=1,
        use_partitioner=True,
    )
    dispatcher = RecordDispatcher(app, ChangelogStore(states), controllers, exporter)
    source = app.topic(
        *(topic.name for topic in INPUTS), key_type=bytes, value_type=bytes, partitions=1
    )
    app.agent(source, name="records")(dispatcher.consume)
    app.timer(TICK_SECONDS, on_leader=False, name="tick")(dispatcher.begin_tick)
    app.timer(HURRY_SECONDS, on_leader=False, name="hurry")(dispatcher.hurry)
    return app


def _faust_app(bootstrap: str, folder: Path) -> Any:
    import faust

    folder.mkdir(parents=True, exist_ok=True)
    return faust.App(
        DAEMON_APP,
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=str(folder),
        topic_partitions=1,
        topic_replication_factor=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_commit_interval=1.0,
        broker_max_poll_records=200,
        producer_max_request_size=LARGEST_RECORD_BYTES,
        table_standby_replicas=0,
        web_enabled=False,
    )

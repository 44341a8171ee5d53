"""The daemon's Faust worker with a controller that counts: ``counting_daemon CONFIG``."""

from __future__ import annotations

import sys
from pathlib import Path

import faust

from deploy.app.deployment import Deployment
from deploy.app.topics import ensure_topics
from deploy.daemon.faust_app import daemon_app
from deploy.metrics.exporter import MetricsExporter
from tests.deploy.daemon.doubles import counting_controller

if __name__ == "__main__":
    deployment = Deployment.load(Path(sys.argv[1]))
    ensure_topics(deployment)
    app = daemon_app(deployment, {"m": counting_controller()}, MetricsExporter())
    faust.Worker(app, loglevel="WARN", quiet=True).execute_from_commandline()

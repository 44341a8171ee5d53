"""Probes of the supervised processes: have they started, and do they still answer?"""

from __future__ import annotations

import json
import re
import time

from deploy.app import answers
from deploy.config.port_map import HOST
from deploy.local.process_spec import (
    Alive,
    Grpc,
    Http,
    Kafka,
    Probe,
    ProcessSpec,
    Progress,
    TaskManager,
    Tcp,
)

PROGRESS_METRIC = "driftline_progress_seconds"


def listening(port: int) -> bool:
    """Whether something accepts connections on the port."""
    return answers.listening(HOST, port)


def ready(probe: Probe, uptime_seconds: float) -> bool:
    """Whether a process with this uptime is ready."""
    match probe:
        case Tcp():
            return listening(probe.port)
        case Http():
            return _http(probe)
        case Kafka():
            return answers.kafka_answers(HOST, probe.port)
        case Grpc():
            return answers.grpc_answers(HOST, probe.port, probe.method)
        case TaskManager():
            return listening(probe.own_port) and _has_heartbeat(probe)
        case Progress():
            return _has_progressed(probe)
        case Alive():
            return uptime_seconds >= probe.seconds


def still_answers(spec: ProcessSpec, uptime_seconds: float) -> bool:
    """Whether a process that was ready still works."""
    return ready(spec.answers or spec.ready, uptime_seconds)


def port(probe: Probe) -> int | None:
    """The port of the process itself, None if its probe uses no port."""
    match probe:
        case TaskManager():
            return probe.own_port
        case Alive():
            return None
        case _:
            return probe.port


def _http(probe: Http) -> bool:
    answer = answers.http_text(HOST, probe.port, probe.path)
    if answer is None:
        return False
    status, text = answer
    return (status == 200 or probe.any_status) and re.search(probe.matches, text) is not None


def _has_heartbeat(probe: TaskManager) -> bool:
    """Flink's ``timeSinceLastHeartbeat`` is the time of the last heartbeat, in milliseconds."""
    answer = answers.http_text(HOST, probe.port, "/taskmanagers")
    if answer is None or answer[0] != 200:
        return False
    try:
        heartbeats = [
            entry["timeSinceLastHeartbeat"] / 1000
            for entry in json.loads(answer[1])["taskmanagers"]
            if entry["id"] == probe.resource_id
        ]
    except (ValueError, KeyError, TypeError):
        return False
    return any(time.time() - heartbeat <= probe.seconds for heartbeat in heartbeats)


def _has_progressed(probe: Progress) -> bool:
    answer = answers.http_text(HOST, probe.port, "/metrics")
    if answer is None:
        return False
    pattern = rf'^{PROGRESS_METRIC}{{process="{probe.process}"}} (\S+)$'
    step = re.search(pattern, answer[1], re.MULTILINE)
    return step is not None and time.time() - float(step[1]) <= probe.seconds

"""Readiness probes of the supervised processes."""

from __future__ import annotations

import http.client
import re
import socket

from deploy.config.port_map import HOST
from deploy.local.process_spec import Alive, Http, Probe, Tcp

TIMEOUT_SECONDS = 2.0


def listening(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        with socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def http_matches(probe: Http) -> bool:
    """Whether a GET answers 200 and its text matches."""
    connection = http.client.HTTPConnection(HOST, probe.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", probe.path)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return response.status == 200 and re.search(probe.matches, text) is not None


def ready(probe: Probe, uptime_seconds: float) -> bool:
    """Whether a process with this uptime is ready."""
    match probe:
        case Tcp():
            return listening(probe.port)
        case Http():
            return (probe.own_port is None or listening(probe.own_port)) and http_matches(probe)
        case Alive():
            return uptime_seconds >= probe.seconds


def port(probe: Probe) -> int | None:
    """The port of the process itself, None if its probe uses no port."""
    match probe:
        case Tcp():
            return probe.port
        case Http():
            return probe.own_port or probe.port
        case Alive():
            return None

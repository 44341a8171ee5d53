"""Asks whether a process is ready."""

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


def answers(probe: Http) -> bool:
    """Whether a GET is answered as the probe wants it."""
    connection = http.client.HTTPConnection(HOST, probe.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", probe.path)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return answer.status == 200 and re.search(probe.matches, text) is not None


def ready(probe: Probe, lived_seconds: float) -> bool:
    """Whether a process that has lived for so long is ready."""
    match probe:
        case Tcp():
            return listening(probe.port)
        case Http():
            return (probe.own is None or listening(probe.own)) and answers(probe)
        case Alive():
            return lived_seconds >= probe.seconds


def port(probe: Probe) -> int | None:
    """The port of the process itself, if the probe asks one."""
    match probe:
        case Tcp():
            return probe.port
        case Http():
            return probe.own or probe.port
        case Alive():
            return None

"""Notifications as Alertmanager sends them, and a web server for the notifier's routes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import uvicorn

from deploy.notify.alerts import AlertGroup, decode_group


def body(
    cause: str = "drift", model: str = "big_tipper", *, status: str = "firing", **more: Any
) -> bytes:
    """A notification with one alert; `more` are annotations, or `severity`."""
    severity = more.pop("severity", "page")
    alert = {
        "status": status,
        "labels": {
            "alertname": "DriftlineDrifted", "severity": severity, "cause": cause, "model": model,
        },
        "annotations": {
            "summary": f"{model}: 3 windows have drifted.",
            "value": "3 windows",
            "limit": "0.5 standard deviations",
            "feature": "fare, tip",
            "version": "4",
            "link": f"http://console/models/{model}",
            "runbook_url": "http://console/runbook#driftlinedrifted",
            **more,
        },
        "startsAt": "2026-01-01T00:00:00Z",
        "fingerprint": "f",
    }  # fmt: skip
    return msgspec.json.encode(
        {
            "version": "4",
            "groupKey": "{}:{}",
            "status": status,
            "receiver": "notifier",
            "groupLabels": {"cause": cause, "model": model} if model else {"cause": cause},
            "alerts": [alert],
            "truncatedAlerts": 0,
        }
    )


def group(*words: str, **more: Any) -> AlertGroup:
    """The same, decoded."""
    return decode_group(body(*words, **more))


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application on a free port; yields its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()

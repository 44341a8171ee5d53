"""The address at which Prometheus scrapes a process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server


def add_process(registry: CollectorRegistry) -> None:
    """Export what the process takes of processor and memory."""
    ProcessCollector(registry=registry)


def serve(registry: CollectorRegistry, port: int) -> None:
    """Serve a registry on 127.0.0.1, with what the process takes of processor and memory.

    Raises
    ------
    OSError
        When the port is in use.
    """
    add_process(registry)
    start_http_server(port, addr="127.0.0.1", registry=registry)

from __future__ import annotations

import httpx
from prometheus_client import CollectorRegistry, Counter

from deploy.metrics.endpoint import serve
from deploy.metrics.notifier import NotifierExporter
from tests.free_ports import free_port


def test_a_process_shows_its_own_counters_and_what_it_takes() -> None:
    registry, port = CollectorRegistry(), free_port()
    Counter("seen", "Things seen.", registry=registry).inc(2)
    serve(registry, port)
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    samples = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(samples["seen_total"]) == 2.0
    assert float(samples["process_cpu_seconds_total"]) > 0.0
    assert float(samples["process_resident_memory_bytes"]) > 1e6


def test_the_notifier_shows_its_process_too() -> None:
    text = NotifierExporter().text().decode()
    assert "process_resident_memory_bytes " in text
    assert "process_cpu_seconds_total " in text

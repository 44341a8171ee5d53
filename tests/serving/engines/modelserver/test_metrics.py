"""The metrics page has TF Serving's names and buckets, and Prometheus' own parser reads it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.engines.modelserver.metrics import BUCKETS, Metrics


def test_buckets_are_those_of_tf_serving() -> None:
    assert len(BUCKETS) == 33
    assert BUCKETS[0] == 10
    assert BUCKETS[16] == pytest.approx(121439.5, rel=1e-4)
    assert BUCKETS[17] == pytest.approx(218591.1, rel=1e-4)


def test_the_page_can_be_parsed_and_adds_up() -> None:
    metrics = Metrics()
    labels = ("m", "predict", "REST")
    for value in (5, 10, 11, 1e12):
        metrics.request_latency.observe(labels, value)
    metrics.request_count.add(("m", "OK"), 3)
    metrics.load_attempts.add(('a"b\\c\nd', "success"))
    text = metrics.render().decode()
    samples = {
        (sample.name, sample.labels.get("le")): sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    name = ":tensorflow:serving:request_latency"
    assert samples[f"{name}_bucket", "10"].value == 2
    assert samples[f"{name}_bucket", "18"].value == 3
    assert samples[f"{name}_bucket", "+Inf"].value == 4
    assert samples[f"{name}_count", None].value == 4
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 3\n' in text
    assert 'load_attempt_count{model_path="a\\"b\\\\c\\nd",status="success"} 1\n' in text

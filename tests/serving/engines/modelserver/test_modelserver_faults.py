"""Faults on purpose: off without a file, read again when it changes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from serving.engines.modelserver.codes import Refused
from serving.engines.modelserver.faults import Fault, Faults, refuse_some


def test_without_a_file_nothing_is_wrong() -> None:
    assert Faults(None).now() == Fault()


def test_the_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "fault.json"
    faults = Faults(file)
    assert faults.now() == Fault()
    for content, expected in (
        ('{"latency_ms": 300}', Fault(latency_ms=300)),
        ('{"latency_ms": ', Fault(latency_ms=300)),
        ('{"error_ratio": 0.5, "load_ms": 10}', Fault(error_ratio=0.5, load_ms=10)),
    ):
        file.write_text(content)
        time.sleep(0.12)
        assert faults.now() == expected
    file.unlink()
    time.sleep(0.12)
    assert faults.now() == Fault()


def test_the_share_of_refusals_is_kept() -> None:
    refuse_some(Fault())
    with pytest.raises(Refused, match="on purpose"):
        refuse_some(Fault(error_ratio=1.0))

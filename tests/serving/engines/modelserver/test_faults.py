"""Fault injection: off without a file, and read again when the file changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.engines.modelserver.codes import Refused
from serving.engines.modelserver.faults import Fault, Faults, inject_error


def test_without_a_file_there_are_no_faults() -> None:
    assert Faults(None).now() == Fault()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "fault.json"
    now = [0.0]
    faults = Faults(file, clock=lambda: now[0])
    assert faults.now() == Fault()
    for content, expected in (
        ('{"latency_ms": 300}', Fault(latency_ms=300)),
        ('{"latency_ms": ', Fault(latency_ms=300)),
        ('{"error_ratio": 0.5, "load_ms": 10}', Fault(error_ratio=0.5, load_ms=10)),
    ):
        file.write_text(content)
        now[0] += 0.2
        assert faults.now() == expected
    file.unlink()
    now[0] += 0.2
    assert faults.now() == Fault()


def test_the_error_ratio_is_the_share_of_refused_requests() -> None:
    inject_error(Fault())
    with pytest.raises(Refused, match="injected fault"):
        inject_error(Fault(error_ratio=1.0))

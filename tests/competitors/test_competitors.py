"""The competitors run in their own environments and find drift as published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.setup.screen import SetupFailed
from tests.competitors.competitor import Competitor
from tests.competitors.install import COMPETITORS, environment


def test_an_unknown_competitor_is_refused() -> None:
    assert COMPETITORS == ("evidently", "river")
    with pytest.raises(SetupFailed, match="there are evidently, river"):
        environment("nobody")


@pytest.fixture(scope="module")
def evidently(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Competitor]:
    log = tmp_path_factory.mktemp("competitors") / "evidently.log"
    with Competitor("evidently", log) as competitor:
        yield competitor


@pytest.mark.engine
def test_evidently_finds_a_shift_and_its_tests_agree_with_its_report(
    evidently: Competitor,
) -> None:
    rng = np.random.default_rng(1)

    def columns(rows: int, shift: float) -> dict[str, np.ndarray[tuple[int, ...], np.dtype]]:  # type: ignore[type-arg]
        return {
            "unchanged": rng.normal(0.0, 1.0, rows),
            "shifted": rng.normal(shift, 1.0, rows),
            "discrete": rng.integers(0, 3, rows).astype(float),
            "payment": rng.choice(["cash", "card"], rows),
        }

    head = {"action": "reference", "categories": ["payment"]}
    assert evidently.request(head, columns(2_000, 0.0))[0] == {"rows": 2_000}
    window = columns(1_000, 0.5)
    report, _ = evidently.request({"action": "report"}, window)
    tests, _ = evidently.request({"action": "tests"}, window)
    assert {name for name, result in report["columns"].items() if result["drifted"]} == {"shifted"}
    for name, result in report["columns"].items():
        assert tests["columns"][name] == pytest.approx(result, abs=1e-9)


@pytest.mark.engine
def test_river_finds_a_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0.0, 1.0, (2, 2_000))
    values[1, 1_000:] += 1.0
    with Competitor("river", tmp_path / "river.log") as river:
        head = {"action": "adwin", "settings": {"delta": 0.002}}
        _, detections = river.request(head, {"values": values})
        assert set(detections["series"].tolist()) == {1}
        assert 1_000 < detections["times"].min() < 1_400
        head = {"action": "page-hinkley", "settings": {}}
        _, detections = river.request(head, {"values": values})
        # With its defaults it also alarms before the step, so only the time after it counts.
        after = (detections["series"] == 1) & (detections["times"] >= 1_000)
        assert detections["times"][after].min() < 1_100

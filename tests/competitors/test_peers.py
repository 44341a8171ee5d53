"""The compared detectors answer from their own environments, and as their makers ship them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deploy.setup.screen import SetupFailed
from tests.competitors.install import PEERS, environment
from tests.competitors.peer import Peer


def test_a_peer_that_is_none_is_refused() -> None:
    assert PEERS == ("evidently", "river")
    with pytest.raises(SetupFailed, match="there are evidently, river"):
        environment("nobody")


@pytest.fixture(scope="module")
def evidently(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with Peer("evidently", tmp_path_factory.mktemp("peers") / "evidently.log") as peer:
        yield peer


@pytest.mark.engine
def test_evidently_sees_a_shift_and_the_short_way_agrees_with_its_report(evidently: Peer) -> None:
    rng = np.random.default_rng(1)

    def columns(rows: int, shift: float) -> dict[str, np.ndarray[tuple[int, ...], np.dtype]]:  # type: ignore[type-arg]
        return {
            "still": rng.normal(0.0, 1.0, rows),
            "moved": rng.normal(shift, 1.0, rows),
            "few": rng.integers(0, 3, rows).astype(float),
            "way": rng.choice(["cash", "card"], rows),
        }

    head = {"do": "reference", "categories": ["way"]}
    assert evidently.ask(head, columns(2_000, 0.0))[0] == {"rows": 2_000}
    now = columns(1_000, 0.5)
    (report, _), (tests, _) = (evidently.ask({"do": do}, now) for do in ("report", "tests"))
    assert {name for name, one in report["columns"].items() if one["drifted"]} == {"moved"}
    for name, one in report["columns"].items():
        assert tests["columns"][name] == pytest.approx(one, abs=1e-9)


@pytest.mark.engine
def test_river_finds_a_step(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(0.0, 1.0, (2, 2_000))
    values[1, 1_000:] += 1.0
    with Peer("river", tmp_path / "river.log") as peer:
        settings = {"delta": 0.002}
        _, found = peer.ask({"do": "adwin", "settings": settings}, {"values": values})
        assert set(found["series"].tolist()) == {1}
        assert 1_000 < found["times"].min() < 1_400
        _, found = peer.ask({"do": "page-hinkley", "settings": {}}, {"values": values})
        after = found["times"][(found["series"] == 1) & (found["times"] >= 1_000)]
        assert after.min() < 1_100  # its defaults alarm on quiet numbers too: no first time

"""Both sides of the retrain comparison are scored on all held-back rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench.retrain_round import FinishedRound
from tests.bench.scoring import auc_of
from tests.bench.taxi_rounds import trips, write_round

pytestmark = pytest.mark.engine


def test_every_held_back_row_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there are more than a worker's own evaluation takes."""
    from retrain.engines.tfx import shard_evaluation, shards
    from retrain.engines.tfx.trainer import TrainingLimits

    files = write_round(tmp_path / "round", 1, trips(None, 500, 1))
    file = Path(files.csv) / "eval" / "rows.csv"
    head, *rows = file.read_text().splitlines(keepends=True)
    most = TrainingLimits().max_eval_rows
    repeated = (rows * (most // len(rows) + 1))[: most + 1]
    file.write_text(head + "".join(repeated))
    scored = []

    def evaluate(folder: Path, *_: Any) -> dict[tuple[()], dict[str, float]]:
        scored.append(shards.count_rows(folder, "*.gz"))
        return {(): {"auc": 0.75}}

    monkeypatch.setattr(shard_evaluation, "evaluate", evaluate)
    assert auc_of(tmp_path / "model", files) == 0.75
    assert scored == [most + 1]


def test_a_finished_round_is_scored_without_other_changes() -> None:
    finished = FinishedRound(
        wall_seconds=1.0, cpu_seconds=2.0, peak_bytes=3, rows=4, components=(), model="m"
    )
    scored = finished.scored(0.9)
    assert (scored.auc, scored.wall_seconds, scored.cpu_seconds) == (0.9, 1.0, 2.0)
    assert (scored.peak_bytes, scored.rows) == (3, 4)

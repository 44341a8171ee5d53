"""The retrain worker against stock TFX's default pipeline, by turns on the same rows."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.bench.child import Child
from tests.bench.figures import RetrainComparison, RetrainRound
from tests.bench.retrain_round import FinishedRound
from tests.bench.scoring import ModelToScore
from tests.bench.taxi_rounds import CONTRACT, trips, write_round

SIDES = {"ours": "tests.bench.retraining", "stock": "tests.bench.stock_tfx"}


def compare(
    folder: Path, *, rows: int, rounds: int, source: Path | None, model: Path
) -> RetrainComparison:
    """Measure `rounds` rounds after one that warms up and gives each side a champion.

    Parameters
    ----------
    folder:
        Emptied folder for rows, metadata and models.
    rows:
        Rows of a round.
    rounds:
        Measured rounds; each has another split and order of the rows.
    source:
        CSV file of trips; None = made-up trips.
    model:
        The last model of our side is copied there.
    """
    measured: dict[str, list[RetrainRound]] = {side: [] for side in SIDES}
    for number, results in enumerate(_rounds(folder, rows, rounds, source)):
        if number:
            for side, result in results.items():
                measured[side].append(result)
    versions = folder / "ours" / "models" / CONTRACT.model
    newest = max((each for each in versions.iterdir() if each.name.isdecimal()), key=_number)
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(newest, model)
    return RetrainComparison(
        rows=rows,
        source=source.name if source else "made-up trips",
        ours=tuple(measured["ours"]),
        stock=tuple(measured["stock"]),
    )


def _rounds(
    folder: Path, rows: int, rounds: int, source: Path | None
) -> Iterator[dict[str, RetrainRound]]:
    with contextlib.ExitStack() as stack:
        children = {
            side: stack.enter_context(Child(module, folder / f"{side}.log"))
            for side, module in SIDES.items()
        }
        scoring = stack.enter_context(Child("tests.bench.scoring", folder / "scoring.log"))
        for side, child in children.items():
            child.send_line(str(folder / side))
        for number in range(rounds + 1):
            place = folder / f"round-{number}"
            files = write_round(place, number, trips(source, rows, number))
            # Each side is first in every other round.
            order = list(children.items())[:: 1 if number % 2 else -1]
            results = {}
            for side, child in order:
                child.send_line(files)
                finished = child.receive_line(FinishedRound)
                scoring.send_line(ModelToScore(model=finished.model, files=files))
                results[side] = finished.scored(scoring.receive_line(float))
            shutil.rmtree(place)
            yield results


def _number(version: Path) -> int:
    return int(version.name)

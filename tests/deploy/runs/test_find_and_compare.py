"""A run is found by what people have of it, and runs are put side by side."""

from __future__ import annotations

import pytest

from deploy.runs.compare import compare
from deploy.runs.find import find
from retrain.run_view import Run, RunCurve
from streaming.contracts.errors import Conflict, NotFoundError
from streaming.contracts.records import ComponentRun, Metric, OffsetRange


def auc(value: float, half: float) -> Metric:
    return Metric(name="auc", slice="", value=value, low=value - half, high=value + half, n=9)


def run(number: int, *, model: str = "taxi", **fields: object) -> Run:
    given: dict[str, object] = {
        "run_id": f"abcdef{number:018}",
        "digest": f"d1{number:062}",
        "version": number,
        "parameters": {"learning_rate": 0.01},
        "metrics": (auc(0.9, 0.01),),
        "curve": RunCurve(loss=(0.5, 0.4)),
    }
    return Run(model=model, **(given | fields))  # type: ignore[arg-type]


RUNS = (run(1), run(2), run(1, model="tips", run_id="999999"))


@pytest.mark.parametrize(
    ("target", "model", "expected"),
    [
        ("2", None, RUNS[1]),
        ("1", "taxi", RUNS[0]),
        ("1", "tips", RUNS[2]),
        (RUNS[0].run_id, None, RUNS[0]),
        (RUNS[1].run_id[:24], None, RUNS[1]),
        (RUNS[1].digest, None, RUNS[1]),
        ("999999", None, RUNS[2]),
    ],
)
def test_a_run_is_found(target: str, model: str | None, expected: Run) -> None:
    assert find(RUNS, target, model) is expected


@pytest.mark.parametrize("target", ["1", "abcdef", "d10000"])
def test_several_runs_are_a_conflict_that_names_them(target: str) -> None:
    with pytest.raises(Conflict, match=r"names [23] runs"):
        find(RUNS, target)


@pytest.mark.parametrize("target", ["7", "0", "", "abc", "²", "[/x]", "../..", "9" * 400])
def test_no_run_is_not_found(target: str) -> None:
    with pytest.raises(NotFoundError, match="runs list"):
        find(RUNS, target)


def test_what_differs_is_marked() -> None:
    slow = (ComponentRun(name="Trainer", seconds=9.0),)
    fast = (ComponentRun(name="Trainer", seconds=3.0),)
    first = run(1, components=fast)
    second = run(
        2, components=slow, parameters={"learning_rate": 0.1, "batch": 8}, rows=7,
        metrics=(auc(0.95, 0.01), Metric(name="brier", slice="s", value=0.1)),
    )  # fmt: skip
    result = compare([first, second])
    rows = {row.name: row for row in result.parameters}
    assert (rows["learning_rate"].values, rows["learning_rate"].differs) == ((0.01, 0.1), True)
    assert (rows["batch"].values, rows["batch"].differs) == ((None, 8), True)
    assert not rows["cause"].differs
    assert result.components[0].values == (3.0, 9.0)
    metrics = {(m.name, m.slice): m for m in result.metrics}
    assert metrics["auc", ""].apart
    assert metrics["brier", "s"].values[0] is None
    assert not metrics["brier", "s"].apart
    assert result.same_events


def test_touching_intervals_and_other_rows_are_told() -> None:
    offsets = (OffsetRange(topic="t", partition=0, start=0, stop=5),)
    result = compare([run(1), run(2, metrics=(auc(0.92, 0.01),), events=offsets)])
    assert not result.metrics[0].apart
    assert not result.same_events

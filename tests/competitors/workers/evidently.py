"""Evidently's default column drift, of a window against a reference.

Questions: `{"do": "reference", "categories": [...]}` with one array for each column, then any
number of `{"do": "report" | "tests"}` with the window's columns. Answers name each column's score,
whether it drifted, and the wall and CPU seconds that it took with the rows in a frame.
`report` runs the `DataDriftPreset` as its documentation does; `tests` calls the same default tests
without the report around them, which costs a second a window.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tests.competitors.workers.wire import Message, serve

Columns = dict[str, np.ndarray[Any, Any]]


class Evidently:
    """Remembers the reference."""

    def __init__(self) -> None:
        self._categories: list[str] = []
        self._reference: Any = None

    def answer(self, head: dict[str, Any], arrays: Columns) -> Message:
        """One question."""
        import pandas as pd

        frame = pd.DataFrame(arrays)
        if head["do"] == "reference":
            self._categories, self._reference = head["categories"], frame
            return {"rows": len(frame)}, {}
        wall, cpu = time.perf_counter(), time.process_time()
        found = self._report(frame) if head["do"] == "report" else self._tests(frame)
        seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        return {"columns": found, **seconds}, {}

    def _numbers(self) -> list[str]:
        return [name for name in self._reference.columns if name not in self._categories]

    def _report(self, frame: Any) -> dict[str, dict[str, float]]:
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=self._numbers(), categorical_columns=self._categories
        )
        current = Dataset.from_pandas(frame, data_definition=definition)
        reference = Dataset.from_pandas(self._reference, data_definition=definition)
        made = Report([DataDriftPreset()]).run(current, reference).dict()
        found = {}
        for metric in made["metrics"]:
            settings = metric["config"]
            if "column" in settings:
                score, threshold = float(metric["value"]), float(settings["threshold"])
                smaller = "p_value" in settings["method"]
                drifted = score < threshold if smaller else score >= threshold
                found[settings["column"]] = {"score": score, "drifted": float(drifted)}
        return found

    def _tests(self, frame: Any) -> dict[str, dict[str, float]]:
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

        found = {}
        for name in frame.columns:
            kind = ColumnType.Categorical if name in self._categories else ColumnType.Numerical
            before, now = (
                one[name].replace([np.inf, -np.inf], np.nan).dropna()
                for one in (self._reference, frame)
            )
            test = get_stattest(before, now, kind, None)
            result = test(before, now, kind, None)
            found[name] = {"score": float(result.drift_score), "drifted": float(result.drifted)}
        return found


if __name__ == "__main__":
    serve(Evidently().answer)

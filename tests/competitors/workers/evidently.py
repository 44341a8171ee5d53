"""Evidently's default column drift of a window against a reference.

Requests: `{"action": "reference", "categories": [...]}` with one array for each column, then any
number of `{"action": "report" | "tests"}` with the window's columns. A response holds each column's
score and whether it drifted, and the wall and CPU seconds of the work on a data frame. `report`
runs the `DataDriftPreset` as its documentation does. `tests` calls the same default tests without
the report, which takes a second per window.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tests.competitors.workers.wire import Message, serve

Columns = dict[str, np.ndarray[Any, Any]]


class Evidently:
    """Compares windows with the reference of the first request."""

    def __init__(self) -> None:
        self._categories: list[str] = []
        self._reference: Any = None

    def respond(self, head: dict[str, Any], arrays: Columns) -> Message:
        """The response to one request."""
        import pandas as pd

        frame = pd.DataFrame(arrays)
        if head["action"] == "reference":
            self._categories, self._reference = head["categories"], frame
            return {"rows": len(frame)}, {}
        wall, cpu = time.perf_counter(), time.process_time()
        columns = self._report(frame) if head["action"] == "report" else self._tests(frame)
        seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        return {"columns": columns, **seconds}, {}

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
        report = Report([DataDriftPreset()]).run(current, reference).dict()
        columns = {}
        for metric in report["metrics"]:
            settings = metric["config"]
            if "column" in settings:
                score, threshold = float(metric["value"]), float(settings["threshold"])
                is_p_value = "p_value" in settings["method"]
                drifted = score < threshold if is_p_value else score >= threshold
                columns[settings["column"]] = {"score": score, "drifted": float(drifted)}
        return columns

    def _tests(self, frame: Any) -> dict[str, dict[str, float]]:
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

        columns = {}
        for name in frame.columns:
            kind = ColumnType.Categorical if name in self._categories else ColumnType.Numerical
            reference, window = (
                rows[name].replace([np.inf, -np.inf], np.nan).dropna()
                for rows in (self._reference, frame)
            )
            test = get_stattest(reference, window, kind, None)
            result = test(reference, window, kind, None)
            columns[name] = {"score": float(result.drift_score), "drifted": float(result.drifted)}
        return columns


if __name__ == "__main__":
    serve(Evidently().respond)

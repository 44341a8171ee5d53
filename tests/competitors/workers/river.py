"""River's detectors on many series of equal length at once.

A question is `{"do": "adwin" | "page-hinkley", "settings": {...}}` with `values` (series x time);
the answer holds `series` and `times` of every detection. Detectors forget after one, as River's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.competitors.workers.wire import Message, serve


def answer(head: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> Message:
    """One question."""
    from river import drift

    made = {"adwin": drift.ADWIN, "page-hinkley": drift.PageHinkley}[head["do"]]
    series, times = [], []
    for number, values in enumerate(arrays["values"].tolist()):
        detector = made(**head["settings"])
        update = detector.update
        for time, value in enumerate(values):
            update(value)
            if detector.drift_detected:
                series.append(number)
                times.append(time)
    return {}, {"series": np.array(series, np.int64), "times": np.array(times, np.int64)}


if __name__ == "__main__":
    serve(answer)

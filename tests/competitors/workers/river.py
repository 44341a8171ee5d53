"""River's detectors on many series of equal length.

A request is `{"action": "adwin" | "page-hinkley", "settings": {...}}` with `values` (series x
time). The response holds `series` and `times` of every detection. As usual in River, a detector
starts afresh after a detection.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.competitors.workers.wire import Message, serve


def respond(head: dict[str, Any], arrays: dict[str, np.ndarray[Any, Any]]) -> Message:
    """The response to one request."""
    from river import drift

    create = {"adwin": drift.ADWIN, "page-hinkley": drift.PageHinkley}[head["action"]]
    series, times = [], []
    for number, values in enumerate(arrays["values"].tolist()):
        detector = create(**head["settings"])
        update = detector.update
        for time, value in enumerate(values):
            update(value)
            if detector.drift_detected:
                series.append(number)
                times.append(time)
    return {}, {"series": np.array(series, np.int64), "times": np.array(times, np.int64)}


if __name__ == "__main__":
    serve(respond)

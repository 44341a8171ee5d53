"""Judges windows against a reference: outcome, reason and evidence, from pure functions.

Prepare a reference once with `prepare_reference`, then pass every window to `judge_drift` with the
history that the previous call returned. The code reads from `verdict` downwards: `feature_verdict`,
`budget`, `feature_cusum`, then the tests in `statistics` and the limits in `thresholds`.

Examples
--------
The fare shifts by 0.7 standard deviations from the third window on. It is suspected at once, and
drifted when three of the last five windows exceed the limit.

>>> import numpy as np
>>> import pyarrow as pa
>>> from streaming import summary
>>> from streaming.baseline.merge import build_reference
>>> from streaming.contracts.model import FeatureSpec, ModelContract
>>> from streaming.contracts.records import WindowSummary
>>> from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
>>> contract = ModelContract(
...     model="taxi", module="none", events_topic="trips", labels_topic="tips", key="id", time="t",
...     features=(FeatureSpec(name="fare", kind="number"),),
... )
>>> rng = np.random.default_rng(7)
>>> def window(at: int, shift: float = 0.0, rows: int = 2_000) -> WindowSummary:
...     batch = pa.RecordBatch.from_pydict({"fare": rng.normal(30.0 + 3.0 * shift, 3.0, rows)})
...     features = summary.finish(summary.add(summary.start(contract), batch))
...     return WindowSummary(
...         record_id=f"window-{at}", model="taxi", at=60.0 * (at + 1), window_start=60.0 * at,
...         window_end=60.0 * (at + 1), accepted=rows, dead_letters=0, late=0, offsets_read=rows,
...         offsets=(), features=features,
...     )
>>> training = [window(-1, rows=20_000)]
>>> reference = prepare_reference(
...     build_reference(training, model="taxi", version=1, at=0.0), contract
... )
>>> history = DriftHistory()
>>> for at, shift in enumerate([0.0, 0.0, 0.7, 0.7, 0.7]):
...     verdict, history = judge_drift(
...         window(at, shift), reference, "promotion-1", history, DriftRules(), contract
...     )
...     print(at, verdict.outcome)
0 stable
1 stable
2 suspected
3 suspected
4 drifted
>>> verdict.features[0].raised_by, round(verdict.features[0].effect, 1)
('sustained', 0.7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streaming.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from streaming.drift.history import DriftHistory
    from streaming.drift.prepared_reference import PreparedReference, prepare_reference
    from streaming.drift.settings import DriftRules
    from streaming.drift.verdict import judge_drift

__all__ = [
    "DriftHistory",
    "DriftRules",
    "PreparedReference",
    "judge_drift",
    "prepare_reference",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "DriftHistory": "history",
        "DriftRules": "settings",
        "PreparedReference": "prepared_reference",
        "judge_drift": "verdict",
        "prepare_reference": "prepared_reference",
    },
)

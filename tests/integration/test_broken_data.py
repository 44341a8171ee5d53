"""Schema verdict and trigger follow one rule: broken verdicts are those that stop a retrain."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from retrain.selection import Selection
from retrain.state import TriggerState, broken_data, record_window
from streaming import summary
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import RejectedField, WindowSummary
from streaming.contracts.tolerance import Tolerance
from streaming.engines.tfdv import schema_text
from streaming.engines.tfdv.validation import Statistics
from streaming.schema import SchemaHistory, SchemaThresholds, judge_schema
from tests.retrain.builders import RULES, verdict

ROWS = 2_000
CONTRACT = ModelContract(
    model="taxi", module="", events_topic="", labels_topic="", key="id", time="at",
    features=(
        FeatureSpec(name="fare", kind="number"),
        FeatureSpec(name="seconds", kind="integer"),
        FeatureSpec(name="company", kind="text"),
    ),
)  # fmt: skip
SCHEMA = """
default_environment: "SERVING"
feature { name: "fare" type: FLOAT presence { min_fraction: 1.0 } float_domain { min: 0.0 } }
feature { name: "seconds" type: INT presence { min_count: 0 } int_domain { min: 0 max: 86400 } }
feature { name: "company" type: BYTES presence { min_fraction: 0.5 } string_domain { value: "a" } }
"""
STATISTICS = Statistics(text=SCHEMA)
BAD: dict[str, tuple[str, Any]] = {
    "null": ("fare", None),
    "NaN": ("fare", float("nan")),
    "below": ("fare", -1.0),
    "above": ("seconds", 10**6),
    "allowed null": ("company", None),
    "new value": ("company", "b"),
    "unknown field": ("", None),
    "dead letter": ("", None),
    "fine": ("fare", 5.0),
}


def window(number: int, kind: str, rows: int) -> WindowSummary:
    """A window in which `rows` rows are bad in one way."""
    columns: dict[str, list[Any]] = {
        "fare": [5.0] * ROWS, "seconds": [600] * ROWS, "company": ["a"] * ROWS,
    }  # fmt: skip
    name, value = BAD[kind]
    if name:
        columns[name][:rows] = [value] * rows
    batch = pa.record_batch(
        {
            "fare": pa.array(columns["fare"], pa.float64()),
            "seconds": pa.array(columns["seconds"], pa.int64()),
            "company": pa.array(columns["company"], pa.string()),
        }
    )
    counted = summary.add(summary.start(CONTRACT), batch)
    unknown = {"surge": "boolean"} if kind == "unknown field" else {}
    dead = rows if kind == "dead letter" else 0
    return WindowSummary(
        record_id=str(number), model="taxi", at=0.0,
        window_start=10.0 * number, window_end=10.0 * number + 10.0,
        accepted=ROWS, dead_letters=dead, late=0, offsets_read=ROWS + dead, offsets=(),
        features=summary.finish(counted),
        anomalies=STATISTICS.anomalies(STATISTICS.of(counted), unknown, counted),
        rejected_fields=(RejectedField(feature="fare", value_kind="", rows=dead),) if dead else (),
    )  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(BAD)), st.sampled_from([1, 2, 8, 20, 400, 1_500, ROWS])),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([Tolerance(), Tolerance(share=0.05), Tolerance(sustained=1, of=2)]),
)
def test_a_schema_verdict_is_broken_exactly_where_no_retrain_starts(
    windows: list[tuple[str, int]], tolerance: Tolerance
) -> None:
    schema, history = schema_text.to_schema(SCHEMA), SchemaHistory()
    state, rules = TriggerState(model="taxi"), replace(RULES, tolerance=tolerance)
    for number, (kind, rows) in enumerate(windows):
        closed = window(number, kind, rows)
        judged, history = judge_schema(
            closed, schema, history, SchemaThresholds(tolerance=tolerance)
        )
        drift = replace(
            verdict(number, rows=ROWS, anomalies=closed.anomalies, dead=closed.dead_letters),
            rejected_fields=closed.rejected_fields,
        )
        state = record_window(state, drift, rules)
        blocked = broken_data(state, Selection(), rules)
        assert (judged.outcome == "broken") == bool(blocked), (judged.reason, blocked)

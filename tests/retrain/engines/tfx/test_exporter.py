"""How the exported signatures take missing values; served predictions are in `test_tasks`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("ignore")]

NAN, LOWEST = float("nan"), -(2**63)
TYPES = {"number": np.float32, "integer": np.int64, "text": np.object_}


@pytest.mark.parametrize(
    "given",
    [
        {
            "fee": ("number", [1.5, NAN, -2.0]),
            "kind": ("text", ["a", "", "b"]),
            "calls": ("integer", [LOWEST, 0, 7]),
            "age": ("number", [NAN, 0.0, float("inf")]),
            "place": ("text", ["", "", "c"]),
        },
        {"fee": ("number", [NAN, NAN]), "age": ("number", [NAN, NAN]), "kind": ("text", ["", ""])},
        {"calls": ("integer", [1, 2]), "days": ("integer", [3, 4]), "kind": ("text", ["a", "b"])},
        {"kind": ("text", ["a", "", "b"])},
        {"fee": ("number", []), "age": ("number", []), "calls": ("integer", [])},
        {},
    ],
    ids=["mixed types", "all missing", "none missing", "one column", "no rows", "no columns"],
)
def test_a_missing_value_is_left_out_of_its_column(
    given: dict[str, tuple[str, list[Any]]],
) -> None:
    """As a parser of tf.Examples leaves it out; infinity is no number either."""
    import tensorflow as tf

    from retrain.engines.tfx.exporter import _sparse

    columns = {
        name: tf.constant(np.array(values, TYPES[kind]).reshape(-1, 1), _dtype(kind))
        for name, (kind, values) in given.items()
    }
    eager, in_graph = _sparse(columns), tf.function(_sparse)(columns)
    assert eager.keys() == in_graph.keys() == given.keys()
    for name, (kind, values) in given.items():
        rows = [row for row, value in enumerate(values) if _present(kind, value)]
        present = [values[row] for row in rows]
        for column in (eager[name], in_graph[name]):
            assert column.dtype == columns[name].dtype
            assert column.dense_shape.numpy().tolist() == [len(values), 1]
            assert column.indices.numpy().tolist() == [[row, 0] for row in rows]
            kept = column.values.numpy().tolist()
            assert kept == [each.encode() if kind == "text" else each for each in present]


def _present(kind: str, value: Any) -> bool:
    return bool(np.isfinite(value)) if kind == "number" else value not in ("", LOWEST)


def _dtype(kind: str) -> Any:
    import tensorflow as tf

    return {"number": tf.float32, "integer": tf.int64, "text": tf.string}[kind]

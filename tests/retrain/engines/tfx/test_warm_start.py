"""When a training takes over the champion's graph or weights, and what it says when it does not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from retrain.engines.tfx.warm_files import TRAINING, TRANSFORM_GRAPH, WEIGHTS, TrainingRecord
from retrain.engines.tfx.warm_start import (
    MAX_NEW,
    ChampionFacts,
    load_weights,
    obstacle,
    reusable_graph,
    weights_obstacle,
)
from retrain.models.big_tipper.contract import CODE
from streaming.contracts.errors import DecodeError

RECORD = TrainingRecord(
    code_digest="c", schema_digest="s", hyperparameters={}, out_of_vocabulary={"item": 0.1}
)
FITS = ChampionFacts(record=RECORD, code_digest="c", schema_digest="s", has_graph=True)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, ""),
        ({"record": None}, "older than this rule"),
        ({"has_graph": False}, "older than this rule"),
        ({"code_digest": "d"}, "code has changed"),
        ({"schema_digest": "d"}, "schema has changed"),
        ({"unknown": {"item": 0.099 + MAX_NEW}}, ""),
        ({"unknown": {"item": 0.11 + MAX_NEW}}, "16 % of the rows have a value of item"),
        ({"unknown": {"item": 0.0, "shop": 0.06}}, "value of shop .*(0 % then)"),
    ],
)
def test_a_graph_is_used_again_while_everything_stands(changed: dict[str, Any], why: str) -> None:
    reason = obstacle(dataclasses.replace(FITS, **changed))
    assert bool(reason) == bool(why)
    for part in why.split(".*"):
        assert part in reason


def test_without_a_champion_transform_runs(tmp_path: Path) -> None:
    assert reusable_graph(None, CODE, CODE.schema, tmp_path).graph is None
    older = reusable_graph(tmp_path, CODE, CODE.schema, tmp_path)
    assert (older.graph, "older than this rule" in older.reason) == (None, True)


def test_a_champion_whose_record_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / TRAINING).parent.mkdir()
    (tmp_path / TRAINING).write_text("{")
    with pytest.raises(DecodeError, match=r"training\.json cannot be read"):
        reusable_graph(tmp_path, CODE, CODE.schema, tmp_path)


def champion(folder: Path, vocabulary: str) -> Path:
    for name, content in (
        (WEIGHTS, b"weights"),
        (TRAINING, msgspec.json.encode(RECORD)),
        (f"{TRANSFORM_GRAPH}/transform_fn/assets/items", vocabulary.encode()),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_weights_belong_to_their_vocabularies(tmp_path: Path) -> None:
    base, other = champion(tmp_path / "a", "x\ny\n"), champion(tmp_path / "b", "y\nx\n")
    same = champion(tmp_path / "c", "x\ny\n") / TRANSFORM_GRAPH
    assert weights_obstacle(base, same, "c") == ""
    assert "learnt again" in weights_obstacle(base, other / TRANSFORM_GRAPH, "c")
    assert "code has changed" in weights_obstacle(base, same, "d")
    assert "no champion" in weights_obstacle(None, same, "c")
    (base / TRAINING).write_text("{")
    assert "damaged" in weights_obstacle(base, same, "c")
    (base / WEIGHTS).unlink()
    assert "no weights" in weights_obstacle(base, same, "c")


class Variable:
    def __init__(self, value: float) -> None:
        self.value = np.float32(value)

    def assign(self, value: Any) -> None:
        self.value = value

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.value, dtype)


class Net:
    """A net whose first weight is loaded before the second one fails, as in Keras."""

    def __init__(self, loaded: float, error: Exception | None) -> None:
        self.variables = self.weights = [Variable(1.0), Variable(2.0)]
        self._loaded, self._error = loaded, error

    def load_weights(self, file: Path) -> None:
        self.weights[0].assign(np.float32(self._loaded))
        if self._error:
            raise self._error


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (Net(5.0, ValueError("Layer dense expected 8\nlong text")), "do not fit this net (Layer"),
        (Net(5.0, OSError("truncated file")), "truncated file"),
        (Net(float("nan"), None), "no numbers"),
    ],
)
def test_weights_that_do_not_fit_leave_the_nets_own(net: Net, why: str, tmp_path: Path) -> None:
    assert why in load_weights(net, tmp_path)
    assert [float(v.value) for v in net.variables] == [1.0, 2.0]


def test_weights_that_fit_are_loaded(tmp_path: Path) -> None:
    net = Net(5.0, None)
    assert load_weights(net, tmp_path) == ""
    assert float(net.variables[0].value) == 5.0

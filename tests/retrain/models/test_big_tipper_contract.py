"""The contract, the schema and the user code's constants agree; none imports TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from retrain.models.big_tipper import big_tipper_features as spec
from retrain.models.big_tipper.contract import CODE, FEATURES
from retrain.models.code import load_code
from retrain.ports import AFTER_SHIFT
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import MISSING
from streaming.contracts.requests import instance

TYPES = {
    "integer": schema_pb2.INT,
    "number": schema_pb2.FLOAT,
    "text": schema_pb2.BYTES,
}


@pytest.fixture(scope="module")
def schema() -> schema_pb2.Schema:
    return text_format.Parse(CODE.schema.read_text(), schema_pb2.Schema())


def test_the_schema_covers_the_contract_the_label_and_the_slice_flag(
    schema: schema_pb2.Schema,
) -> None:
    columns = {feature.name: feature for feature in schema.feature}
    expected = {feature.name for feature in FEATURES} | set(CODE.label_columns) | {AFTER_SHIFT}
    assert set(columns) == expected
    for feature in FEATURES:
        assert columns[feature.name].type == TYPES[feature.kind], feature.name
        required = columns[feature.name].presence.min_fraction == 1.0
        assert required == feature.required, feature.name


def test_streamed_windows_need_no_label(schema: schema_pb2.Schema) -> None:
    assert list(schema.default_environment) == ["TRAINING", "SERVING"]
    absent = {f.name for f in schema.feature if "SERVING" in f.not_in_environment}
    assert absent == {*CODE.label_columns, AFTER_SHIFT}


def test_every_input_of_the_net_is_a_feature_of_the_right_kind() -> None:
    kinds = {feature.name: feature.kind for feature in FEATURES}
    assert all(kinds[name] == "integer" for name in spec.INTEGERS)
    assert all(kinds[name] == "text" for name in spec.HASHED)
    assert all(kinds[name] == "number" for name in spec.COORDINATES)
    assert len(spec.numeric_names()) + len(spec.bucket_sizes()) == 14


def test_loading_the_contract_imports_no_tensorflow() -> None:
    code = (
        "import sys; from retrain.models.code import load_code;"
        "load_code('retrain.models.big_tipper'); assert 'tensorflow' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_request_row_has_every_input_and_nothing_else() -> None:
    row = instance(FEATURES, {"fare": 0.0, "trip_seconds": 0, "company": "", "tips": 5.0})
    assert list(row) == [feature.name for feature in FEATURES]
    assert (row["fare"], row["trip_seconds"]) == ([0.0], [0])
    assert row["trip_start_hour"] == [MISSING["integer"]]
    assert row["payment_type"] == [""]


@pytest.mark.parametrize("module", ["retrain.models.nothing", "retrain.models", "json"])
def test_a_module_without_code_is_refused(module: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        load_code(module)

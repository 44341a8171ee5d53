"""A schema inferred of sample rows: TFDV's types and categories, completed for the environments."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from streaming.contracts.model import FeatureSpec
from streaming.engines.tfdv.inference import infer_schema
from streaming.engines.tfdv.schema_text import checked, to_schema

pytestmark = pytest.mark.engine
FEATURES = (
    FeatureSpec(name="fee", kind="number"),
    FeatureSpec(name="visits", kind="integer"),
    FeatureSpec(name="month", kind="integer", categorical=True),
    FeatureSpec(name="plan", kind="text", categorical=True),
    FeatureSpec(name="unknown", kind="text", categorical=True),
    FeatureSpec(name="postcode", kind="text", categorical=True),
    FeatureSpec(name="number", kind="text", categorical=True),
    FeatureSpec(name="tags", kind="text", categorical=True, multivalent=True),
)


@pytest.fixture(scope="module")
def text() -> str:
    return infer_schema(
        {
            "fee": [1.5, None, 3.0, 2.0] * 50,
            "visits": [1, 2, 3, 4] * 50,
            "month": [1, 2, 12, 12] * 50,
            "plan": ["basic", "pro", "größer", "basic"] * 50,
            "unknown": [None] * 200,
            "postcode": ["01067", "80331", "20095", "04109"] * 50,
            "number": [f"{number:05d}" for number in range(200)],
            "tags": ["bar\nwifi", "bar", None, "wifi"] * 50,
            "churned": [0, 1, 0, 0] * 50,
        },
        FEATURES,
        FeatureSpec(name="churned", kind="integer", categorical=True),
        [FeatureSpec(name="after_shift", kind="integer")],
    )


def feature(text: str, name: str) -> Any:
    schema = text_format.Parse(text, schema_pb2.Schema())
    return next(feature for feature in schema.feature if feature.name == name)


def test_events_are_judged_without_label_and_flag(text: str) -> None:
    names = [column.name for column in to_schema(checked(text, "The schema")).columns]
    assert sorted(names) == [
        "fee",
        "month",
        "number",
        "plan",
        "postcode",
        "tags",
        "unknown",
        "visits",
    ]


def test_types_are_those_of_the_contract_also_without_a_value(text: str) -> None:
    assert feature(text, "fee").type == schema_pb2.FLOAT
    assert feature(text, "visits").type == schema_pb2.INT
    assert feature(text, "unknown").type == schema_pb2.BYTES


def test_presence_and_categories_come_from_the_rows(text: str) -> None:
    assert feature(text, "visits").presence.min_fraction == 1.0
    assert feature(text, "fee").presence.min_fraction < 1.0
    assert feature(text, "unknown").presence.min_fraction == 0.0
    assert feature(text, "month").int_domain.is_categorical
    schema = to_schema(text)
    plan = next(column for column in schema.columns if column.name == "plan")
    assert set(plan.values) == {"basic", "pro", "größer"}
    assert feature(text, "churned").presence.min_fraction == 1.0


def test_texts_of_digits_are_categories(text: str) -> None:
    postcode, number = feature(text, "postcode"), feature(text, "number")
    assert list(postcode.string_domain.value) == ["01067", "04109", "20095", "80331"]
    assert postcode.distribution_constraints.min_domain_mass == 0.99
    assert number.WhichOneof("domain_info") is None  # too many to list
    assert not number.HasField("distribution_constraints")


def test_whole_lists_are_no_categories(text: str) -> None:
    tags = feature(text, "tags")
    assert tags.type == schema_pb2.BYTES
    assert tags.WhichOneof("domain_info") is None
    domains = text_format.Parse(text, schema_pb2.Schema()).string_domain
    assert "tags" not in {domain.name for domain in domains}

"""What is kept of foreign messages: columns and types, no values of rows."""

from __future__ import annotations

import errno

import pytest

from retrain.messages import DISK_ADVICE, LONGEST, clear_failure, masked, safe_message
from retrain.ports import TrainingFailed
from streaming.contracts.errors import DecodeError, GateFailedError

SECRETS = ("Lovelace", "12.75", "4111")

LEAKING = [
    "could not convert {'name': 'Ada Lovelace', 'fare': 12.75}",
    'pyarrow.RecordBatch\nname: [["Ada Lovelace"]]\nfare: [[12.75]]',
    'features { feature { key: "name" value { bytes_list { value: "Ada Lovelace" } } } }',
    "Input to reshape b'Ada Lovelace' and b\"12.75\" [while running 'Evaluate']",
    "<tf.Tensor: shape=(1, 1), dtype=float32, numpy=array([[12.75]], dtype=float32)>",
    "invalid value: 12.75 for fare",
    "got 4111 where text is expected",
    "deep [1, [2, [3, ['Lovelace', [12.75]]]]]",
    "\x12\x0bAda\x00 {Lovelace\x01}",
]


@pytest.mark.parametrize("text", LEAKING)
def test_values_are_masked(text: str) -> None:
    kept = safe_message(ValueError(text))
    assert not any(secret in kept for secret in SECRETS), kept
    assert len(kept) <= LONGEST
    assert "\n" not in kept


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("KeyError: 'pickup_census_tract'", "'pickup_census_tract'"),
        ("Data types don't match. Expected type: float, Actual type: int64", "Actual type: int64"),
        ("invalid syntax (model.py, line 3)", "(model.py, line 3)"),
    ],
)
def test_names_and_places_stay(text: str, part: str) -> None:
    assert part in masked(text)


def test_our_own_messages_are_only_cut() -> None:
    own = GateFailedError("12 of 5000 rows: value 12.75 of fare [0, 10]")
    assert safe_message(own) == str(own)
    assert len(safe_message(GateFailedError("x" * 10_000))) == LONGEST
    repeated = DecodeError("not read: value: 12.75")
    repeated.__cause__ = ValueError("value: 12.75")
    assert "12.75" not in safe_message(repeated)


def test_other_errors_get_another_attempt() -> None:
    assert clear_failure(ValueError("x"), "Trainer") is None


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("Error when executing query: database or disk is full query: UPDATE"),
        RuntimeError("file write failed: errno = 28, error message = 'No space left on device'"),
    ],
    ids=["system", "quota", "sqlite", "hdf5"],
)
def test_a_full_disk_is_known_whatever_a_component_made_of_it(cause: Exception) -> None:
    failed = TrainingFailed(f"Trainer failed: {cause}", component="Trainer", advice="Debug it.")
    failed.__cause__ = cause
    known = clear_failure(failed, "elsewhere")
    assert known is not None
    assert (known.component, known.advice) == ("Trainer", DISK_ADVICE)
    assert "No space is left on the worker's disk, found in Trainer" in str(known)
    assert clear_failure(known, "elsewhere") is known
    other = TrainingFailed("one class", component="Gate", advice="Wait for rows.")
    assert clear_failure(other, "elsewhere") is other

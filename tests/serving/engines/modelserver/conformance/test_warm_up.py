"""Warm-up requests of a model: the rules of TF Serving 2.19.1.

The files are in ``tensorflow_serving/servables/tensorflow``: ``warmup`` is
``saved_model_warmup.cc``, ``util`` is ``saved_model_warmup_util.cc``.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from serving.engines.modelserver import warmup
from serving.engines.modelserver.classify import REGRESS
from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.faults import Faults
from serving.engines.modelserver.protos import PredictionLog
from serving.engines.modelserver.saved_model import SavedModel
from serving.engines.modelserver.service import Service
from serving.engines.modelserver.tensor_proto import encode
from serving.engines.modelserver.warmup import warm_up
from tests.serving.engines.modelserver.arrays import floats

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def model(
    models: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SavedModel]:
    """The conformance model, from a folder that may be written."""
    folder = tmp_path_factory.mktemp("warm") / "1"
    shutil.copytree(models[0] / "conformance" / "1", folder)
    (folder / warmup.FILE).parent.mkdir()
    loaded = SavedModel(folder)
    yield loaded
    loaded.close()


@pytest.fixture(autouse=True)
def _no_own_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the requests of the file run here."""
    monkeypatch.setattr(warmup, "_BATCHES", ())


def _checksum(content: bytes) -> bytes:
    value = google_crc32c.value(content)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _record(content: bytes) -> bytes:
    head = struct.pack("<Q", len(content))
    return head + _checksum(head) + content + _checksum(content)


def _write(model: SavedModel, *logs: Any) -> None:
    records = (_record(log.SerializeToString()) for log in logs)
    (model.path / warmup.FILE).write_bytes(b"".join(records))


def _prediction(signature: str = "", **inputs: Any) -> Any:
    log = PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(encode(np.asarray(value)))
    return log


def _examples(kind: str, signature: str) -> Any:
    log = PredictionLog()
    request = getattr(log, kind).request
    if kind == "multi_inference_log":
        task = request.tasks.add(method_name=REGRESS)
        task.model_spec.name, task.model_spec.signature_name = "any", signature
    else:
        request.model_spec.signature_name = signature
    request.input.example_list.examples.add()
    return log


GOOD = _prediction(x=floats(0.5))


@pytest.mark.parametrize(
    ("rule", "log"),
    [
        ("warmup:44-49", _examples("regress_log", "regress")),
        ("warmup:50-55", _examples("classify_log", "classify")),
        ("warmup:56-61", GOOD),
        ("warmup:62-67", _examples("multi_inference_log", "regress")),
        ("warmup:74 without a kind", PredictionLog()),
    ],
)
def test_a_record_of_each_kind_runs(model: SavedModel, rule: str, log: Any) -> None:
    _write(model, log)
    assert warm_up(model) == 1


@pytest.mark.parametrize(
    ("rule", "log", "code", "text"),
    [
        (
            "warmup:68-70",
            PredictionLog(predict_streamed_log={}),
            Code.UNIMPLEMENTED,
            "Unsupported log_type for warmup: 7",
        ),
        (
            "warmup:71-73",
            PredictionLog(session_run_log={}),
            Code.UNIMPLEMENTED,
            "Unsupported log_type for warmup: 5",
        ),
        ("predict_util.cc:90", _prediction("no"), Code.FAILED_PRECONDITION, '"no" not found.'),
        (
            "util:120 as the run failed",
            _prediction("failing", x=floats(2)),
            None,
            "too large",
        ),
        ("regressor.cc:183", _examples("regress_log", "classify"), None, "Expected one output"),
        ("classifier.cc:159", _examples("classify_log", "no"), None, "No signature was found"),
    ],
)
def test_the_first_failing_record_fails_the_version(
    model: SavedModel, rule: str, log: Any, code: Code | None, text: str
) -> None:
    _write(model, GOOD, log, GOOD)
    with pytest.raises(Refused, match=text) as refused:
        warm_up(model)
    assert refused.value.code is (code or Code.INVALID_ARGUMENT)


def test_at_most_a_thousand_records_are_allowed(model: SavedModel) -> None:
    """util:122-127: the one after them fails the version."""
    _write(model, *[PredictionLog()] * warmup.MAX_RECORDS)
    assert warm_up(model) == 1000
    _write(model, *[PredictionLog()] * (warmup.MAX_RECORDS + 1))
    with pytest.raises(Refused, match=r"warmup records exceeds the maximum \(1000\)"):
        warm_up(model)


def test_a_record_that_is_no_log_fails_the_version(model: SavedModel) -> None:
    """util:114-117."""
    (model.path / warmup.FILE).write_bytes(_record(b"\xff\xff\xff"))
    with pytest.raises(Refused, match="Failed to parse warmup record: ") as refused:
        warm_up(model)
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("damage", ["cut", "head", "content", "length", "text"])
def test_a_damaged_file_fails_the_version(model: SavedModel, damage: str) -> None:
    """util:226-230."""
    whole = bytearray(_record(GOOD.SerializeToString()))
    if damage == "cut":
        del whole[-3:]
    elif damage == "head":
        del whole[7:]
    elif damage == "text":
        whole = bytearray(b"a text that is no TFRecord file at all")
    else:
        whole[{"content": 20, "length": 1}[damage]] ^= 1
    (model.path / warmup.FILE).write_bytes(whole)
    with pytest.raises(Refused, match="verify your warmup data is in TFRecord format") as refused:
        warm_up(model)
    assert refused.value.code is Code.DATA_LOSS


def test_without_a_file_nothing_has_to_run(model: SavedModel) -> None:
    """util:81-85."""
    (model.path / warmup.FILE).unlink(missing_ok=True)
    assert warm_up(model) == 0


@pytest.mark.parametrize(
    "error", [Refused(Code.INTERNAL, "refused"), ValueError("broken"), MemoryError()]
)
def test_a_failed_warm_up_leaves_no_session(
    model: SavedModel, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    closed: list[Path] = []
    real = SavedModel.close

    def close(self: SavedModel) -> None:
        closed.append(self.path)
        real(self)

    def fail(loaded: SavedModel) -> int:
        raise error

    monkeypatch.setattr(SavedModel, "close", close)
    monkeypatch.setattr("serving.engines.modelserver.service.warm_up", fail)
    service = Service(faults=Faults(None))
    with pytest.raises(type(error)):
        service._load("m", model.path)
    assert closed == [model.path]

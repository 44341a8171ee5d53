"""Warm-up runs before a version is available: TensorFlow initialises lazily on the first run.

The model's own requests in ``assets.extra/tf_serving_warmup_requests`` (TFRecord of PredictionLog)
must succeed, as in TF Serving (``saved_model_warmup.cc`` and ``saved_model_warmup_util.cc``). A
model without such requests runs on zeros and empty texts, which may fail because it need not accept
them. Each signature runs with several batch sizes, because the library prepares different kernels
for one row and for many rows (25 ms on first use).

Signatures that the model's own requests leave out are not warmed, as in TF Serving: to prepare the
third signature of a model of 60 columns takes 0.7 s in which the version would not be available.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from serving.engines.modelserver.classify import classify, multi_infer, regress
from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.log import log
from serving.engines.modelserver.predict import Feeds, predict
from serving.engines.modelserver.protos import PredictionLog
from serving.engines.modelserver.saved_model import SavedModel, Signature, TensorSpec
from serving.engines.modelserver.tensors import NUMBERS, STRING, strings

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000
"""TF Serving's own limit (``kMaxNumRecords``)."""
_BATCHES = (1, 2, 32)
_UNSUPPORTED = {"predict_streamed_log": 7, "session_run_log": 5}

Arrays = dict[str, NDArray[Any]]


def warm_up(model: SavedModel) -> int:
    """Run the warm-up requests; returns their number.

    Raises
    ------
    Refused
        When one of the model's own warm-up requests fails, with its code and text.
    """
    file = model.path / FILE
    last_inputs: dict[str, NDArray[Any]] = {}
    count = _replay(model, file, last_inputs) if file.exists() else 0
    for signature in model.signatures.values():
        if last_inputs and not _was_run(signature, last_inputs):
            continue
        inputs = {
            name: last_inputs.get(spec.name, zeros(spec)) for name, spec in signature.inputs.items()
        }
        for rows in _BATCHES:
            if not _try(model, signature, _repeated(inputs, rows)):
                break
            count += 1
    return count


def _was_run(signature: Signature, last_inputs: Arrays) -> bool:
    return all(spec.name in last_inputs for spec in signature.inputs.values())


def _replay(model: SavedModel, file: Path, last_inputs: dict[str, NDArray[Any]]) -> int:
    """Run the requests of the file; returns their number, and adds the last array of each tensor
    that is fed."""

    def compute(loaded: SavedModel, api: str, feeds: Feeds, fetches: Any) -> list[NDArray[Any]]:
        last_inputs.update((spec.name, array) for spec, array in feeds)
        return loaded.compute(feeds, fetches)

    count = 0
    with file.open("rb") as stream:
        for record in records(stream):
            try:
                prediction_log = PredictionLog.FromString(record)
            except DecodeError as error:
                shown = record[:200].decode("utf-8", "replace")
                raise invalid(f"Failed to parse warmup record: {shown} from {file}") from error
            _run(model, prediction_log, compute)
            count += 1
            if count > MAX_RECORDS:
                raise invalid(
                    f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {file}"
                )
    return count


def _run(model: SavedModel, prediction_log: Any, compute: Any) -> None:
    """Run one request, as the API of its kind would (``RunWarmupRequest``)."""
    kind = prediction_log.WhichOneof("log_type")
    if kind in _UNSUPPORTED:
        number = _UNSUPPORTED[kind]
        raise Refused(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
    if kind == "predict_log":
        predict(model, prediction_log.predict_log.request, compute)
    elif kind == "classify_log":
        classify(model, prediction_log.classify_log.request, compute)
    elif kind == "regress_log":
        regress(model, prediction_log.regress_log.request, compute)
    elif kind == "multi_inference_log":
        multi_infer(model, prediction_log.multi_inference_log.request, compute)


def _try(model: SavedModel, signature: Signature, inputs: Arrays) -> bool:
    try:
        model.run(signature, inputs, list(signature.outputs))
    except Refused as refused:
        log.info("warm_up.skipped", signature=signature.name, reason=refused.message[:200])
        return False
    return True


def _repeated(inputs: Arrays, rows: int) -> Arrays:
    """The first row of each input, `rows` times; inputs without rows stay as they are."""
    return {
        name: np.repeat(array[:1], rows, axis=0) if array.ndim else array
        for name, array in inputs.items()
    }


def zeros(spec: TensorSpec) -> NDArray[Any]:
    """The smallest input that a signature allows: one row of zeros or empty texts.

    >>> zeros(TensorSpec(name="x:0", code=1, shape=(-1, 3))).tolist()
    [[0.0, 0.0, 0.0]]
    """
    shape = tuple(1 if size < 0 else size for size in (spec.shape or (1,) * (spec.shape is None)))
    if spec.code == STRING:
        return strings([b""] * int(np.prod(shape)), shape)
    return np.zeros(shape, dtype=NUMBERS.get(spec.code, np.dtype(np.float32)))


def records(stream: BinaryIO) -> Iterator[bytes]:
    """The records of a TFRecord file: length, checksum, data, checksum.

    Raises
    ------
    Refused
        DATA_LOSS when the file ends inside a record or a checksum does not match.
    """
    offset = 0
    while head := stream.read(12):
        if len(head) < 12:
            raise _data_loss(f"truncated record at {offset}")
        (length,) = struct.unpack_from("<Q", head)
        if _masked(head[:8]) != head[8:]:
            raise _data_loss(f"corrupted record at {offset}")
        content, checksum = stream.read(min(length, 1 << 31)), stream.read(4)
        if len(content) < length or len(checksum) < 4:
            raise _data_loss(f"truncated record at {offset}")
        if _masked(content) != checksum:
            raise _data_loss(f"corrupted record at {offset}")
        yield content
        offset += 16 + length


def _masked(content: bytes) -> bytes:
    """The checksum of TFRecord: CRC-32C, rotated and shifted (``crc32c::Mask``)."""
    checksum = google_crc32c.value(content)
    rotated = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)


def _data_loss(text: str) -> Refused:
    return Refused(Code.DATA_LOSS, f"{text}. Please verify your warmup data is in TFRecord format.")

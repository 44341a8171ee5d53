"""Warm-up runs before a version is available: TensorFlow initialises lazily on the first run.

The model's own requests in ``assets.extra/tf_serving_warmup_requests`` (TFRecord of
PredictionLog, as in TF Serving) must succeed. Other signatures run on zeros and empty texts, which
may fail because a model need not accept them. Each signature runs with several batch sizes, because
the library prepares different kernels for one row and for many rows (25 ms on first use).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engines.modelserver.codes import Refused, invalid
from serving.engines.modelserver.log import log
from serving.engines.modelserver.protos import PredictionLog
from serving.engines.modelserver.saved_model import (
    DEFAULT_SIGNATURE,
    SavedModel,
    Signature,
    TensorSpec,
)
from serving.engines.modelserver.tensor_proto import decode
from serving.engines.modelserver.tensors import NUMBERS, STRING, strings

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_MAX_RECORDS = 1000  # TF Serving's own limit
_BATCHES = (1, 2, 32)

Arrays = dict[str, NDArray[Any]]


def warm_up(model: SavedModel) -> int:
    """Run the warm-up requests; returns their number.

    Raises
    ------
    Refused
        When one of the model's own warm-up requests fails.
    """
    file = model.path / FILE
    count, last_inputs = _replay(model, file) if file.is_file() else (0, dict[str, Arrays]())
    for name, signature in model.signatures.items():
        inputs = last_inputs.get(name)
        if not inputs:
            inputs = {key: zeros(spec) for key, spec in signature.inputs.items()}
        for rows in _BATCHES:
            if not _try(model, signature, _repeated(inputs, rows)):
                break
            count += 1
    return count


def _replay(model: SavedModel, file: Path) -> tuple[int, dict[str, Arrays]]:
    """Run the requests of the file; returns their number and the last inputs of each signature."""
    count, last_inputs = 0, dict[str, Arrays]()
    for record in islice(records(file.read_bytes()), _MAX_RECORDS):
        prediction_log = PredictionLog.FromString(record)
        if not prediction_log.HasField("predict_log"):
            continue
        request = prediction_log.predict_log.request
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = model.signatures.get(name)
        if signature is None:
            raise invalid(f'Serving signature key "{name}" not found.')
        inputs = {key: decode(key, proto) for key, proto in request.inputs.items()}
        if inputs.keys() != signature.inputs.keys():
            raise invalid(f"A warm-up request of {file} does not match signature {name}.")
        model.run(signature, inputs, list(signature.outputs))
        count += 1
        last_inputs[name] = inputs
    return count, last_inputs


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


def records(content: bytes) -> Iterator[bytes]:
    """The records of a TFRecord file: length, checksum, data, checksum.

    Raises
    ------
    Refused
        When the file ends inside a record.
    """
    position = 0
    while position < len(content):
        if position + 12 > len(content):
            raise invalid("The warm-up file ends inside a record; write it again.")
        (length,) = struct.unpack_from("<Q", content, position)
        start, position = position + 12, position + 16 + length
        if position > len(content):
            raise invalid("The warm-up file ends inside a record; write it again.")
        yield content[start : start + length]

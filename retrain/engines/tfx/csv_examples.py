"""A TFX component that reads CSV files as examples, with the types of the model's code.

TFX's CsvExampleGen infers types, so a column of prices without cents becomes an integer. This one
reads the features and the label's columns, and no others, by columns.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.experimental import simple_artifacts

from retrain.engines.schema_rules import label_kinds
from retrain.engines.tfx.example_columns import ARROW_TYPES, encode_examples, records
from retrain.engines.tfx.own_component import own_component
from retrain.engines.tfx.tfrecord import RecordWriter
from retrain.models.code import ModelCode
from retrain.ports import AFTER_SHIFT
from streaming.contracts.errors import DecodeError, NotFoundError
from streaming.contracts.model import FeatureSpec

EVAL_SHARE = 0.2
"""Share of the rows that is held back for the evaluation."""

SPLITS = ("train", "eval")

_ENCODED_ROWS = 10_000
_FLAG = FeatureSpec(name=AFTER_SHIFT, kind="integer")


class CsvExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Writes the rows of CSV files as examples, split by the hash of the row, or all together."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Write ``Split-train`` and ``Split-eval``, or ``Split-unlabelled``."""
        folder = Path(artifact_utils.get_single_uri(input_dict["files"]))
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        specs = msgspec.json.decode(exec_properties["columns"], type=list[FeatureSpec])
        splits = tuple(exec_properties["splits"].split(","))
        write_csv_examples(folder, Path(examples.uri), specs, splits)
        mark_as_examples(examples, splits)


_CsvExamples = own_component(
    "CsvExamples",
    CsvExecutor,
    inputs={"files": simple_artifacts.Dataset},
    outputs={"examples": standard_artifacts.Examples},
    parameters=("columns", "splits"),
)


def CsvExamples(*, files: Any, code: ModelCode, splits: tuple[str, ...] = SPLITS) -> Any:
    """The component that reads the CSV files in the channel `files` with the types of `code`.

    With one split every row is in it, and no label is read.
    """
    specs = [*code.features, *(label_kinds(code) if len(splits) > 1 else ())]
    return _CsvExamples(
        files=files, columns=msgspec.json.encode(specs).decode(), splits=",".join(splits)
    )


def write_csv_examples(
    folder: Path, target: Path, specs: list[FeatureSpec], splits: tuple[str, ...] = SPLITS
) -> int:
    """Write the rows of all CSV files in `folder` below `target`; returns their number.

    Empty cells are missing values. The last of two splits is held back; the same row is always on
    the same side.

    Raises
    ------
    NotFoundError
        When there is no CSV file.
    DecodeError
        When a file lacks a column or a cell is not of its column's type.
    """
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise NotFoundError(f"There is no file *.csv in {folder}.")
    rows, written = 0, (*specs, _FLAG)
    with contextlib.ExitStack() as stack:
        sides = []
        for split in splits:
            (target / f"Split-{split}").mkdir(parents=True)
            path = target / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
            sides.append(stack.enter_context(RecordWriter(path)))
        for columns in _columns_of(files, specs):
            encoded = encode_examples(columns, written)
            held_back: NDArray[np.bool_] = np.zeros(len(encoded), np.bool_)
            if len(splits) > 1:
                held_back = np.array([_is_held_back(row) for row in encoded.to_pylist()], np.bool_)
                sides[-1].write_framed(records(encoded.filter(pa.array(held_back))))
            sides[0].write_framed(records(encoded.filter(pa.array(~held_back))))
            rows += len(encoded)
    return rows


def mark_as_examples(artifact: Any, splits: tuple[str, ...] = SPLITS) -> None:
    """Say of an artifact in TFX's layout what its files are."""
    artifact.split_names = artifact_utils.encode_split_names(list(splits))
    artifact.span = 0
    artifact.set_string_custom_property("file_format", "tfrecords_gzip")
    artifact.set_string_custom_property("payload_format", "FORMAT_TF_EXAMPLE")


def _columns_of(files: list[Path], specs: list[FeatureSpec]) -> Iterator[dict[str, Any]]:
    types = {spec.name: ARROW_TYPES[spec.kind] for spec in specs}
    options = pyarrow.csv.ConvertOptions(
        column_types=types,
        include_columns=list(types),
        strings_can_be_null=True,
        quoted_strings_can_be_null=True,
        null_values=[""],
    )
    for file in files:
        try:
            for batch in pyarrow.csv.open_csv(file, convert_options=options):
                for start in range(0, batch.num_rows, _ENCODED_ROWS):
                    part = batch.slice(start, _ENCODED_ROWS)
                    yield _cleaned(part, specs)
        except (pa.ArrowInvalid, KeyError) as error:
            first = str(error).splitlines()[0][:200]
            raise DecodeError(
                f"{file.name} cannot be read with the model's columns: {first}. Correct the file,"
                " or the kinds of the features in the model's contract."
            ) from error


def _cleaned(batch: pa.RecordBatch, specs: list[FeatureSpec]) -> dict[str, Any]:
    """The columns with null for numbers that are not finite, and the flag 0."""
    columns: dict[str, Any] = {}
    for spec in specs:
        column: Any = batch.column(spec.name)
        if spec.kind == "number":
            column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, pa.float64()))
        columns[spec.name] = column
    columns[AFTER_SHIFT] = pa.array(np.zeros(batch.num_rows, np.int64))
    return columns


def _is_held_back(row: bytes) -> bool:
    number = int.from_bytes(hashlib.blake2b(row, digest_size=4).digest(), "big")
    return number < EVAL_SHARE * 2**32

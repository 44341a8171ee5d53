"""A TFX component that replays a retrain request into examples.

The request is a parameter, so that ML Metadata, and a compiled pipeline, name the offsets.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts

from retrain.engines.tfx.csv_examples import mark_as_examples
from retrain.engines.tfx.own_component import own_component
from retrain.engines.tfx.shards import splits_of
from retrain.models.code import import_function
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest

BUILDER = "retrain.engines.kafka.examples.LogExampleBuilder"
"""Dotted path of the `ExampleBuilder` on a record log."""


class KafkaExecutor(base_executor.BaseExecutor):  # type: ignore[misc]
    """Replays offset ranges of events and labels into examples."""

    def Do(self, input_dict: Any, output_dict: Any, exec_properties: Any) -> None:
        """Write ``Split-train`` and ``Split-eval``, and the number of rows as properties."""
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        request = msgspec.json.decode(exec_properties["request"], type=RetrainRequest)
        contract = msgspec.json.decode(exec_properties["contract"], type=ModelContract)
        target = Path(examples.uri)
        target.mkdir(parents=True, exist_ok=True)
        open_log = import_function(exec_properties["log"])
        with (
            contextlib.closing(open_log(exec_properties["bootstrap"])) as log,
            tempfile.TemporaryDirectory(prefix=".replayed-", dir=target.parent) as scratch,
        ):
            decoder = exec_properties["decoder"]
            options = {"decoder": import_function(decoder)} if decoder else {}
            build = import_function(BUILDER)(log=log, **options).build
            built = build(request, contract, Path(scratch) / "shards")
            for split, pattern in splits_of(built.folder).items():
                folder = target / f"Split-{split}"
                folder.mkdir()
                for shard in sorted(built.folder.glob(pattern)):
                    shutil.move(shard, folder / shard.name)
        mark_as_examples(examples)
        examples.set_int_custom_property("rows", built.rows)
        examples.set_int_custom_property("rows_after_shift", built.rows_after_shift)


KafkaExamples = own_component(
    "KafkaExamples",
    KafkaExecutor,
    outputs={"examples": standard_artifacts.Examples},
    parameters=("request", "contract", "bootstrap", "log", "decoder"),
)
"""Parameters: JSON of the `RetrainRequest` and of the `ModelContract`, the log's address, the
dotted path of the class that opens it, and that of the function that makes a decoder of columns
(empty: records are decoded one by one)."""

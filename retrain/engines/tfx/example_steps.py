"""Factories of the steps that bring examples into a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import tfx.v1 as tfx
from tfx.types.experimental import simple_artifacts

from retrain.engines.tfx.csv_examples import SPLITS, CsvExamples
from retrain.engines.tfx.kafka_examples import KafkaExamples
from retrain.engines.tfx.places import Place, local_folder
from retrain.engines.tfx.shards import linked_splits, splits_of
from retrain.engines.tfx.steps import StepFactory, Steps
from retrain.models.code import ModelCode
from retrain.ports import EVAL_SHARDS, TRAIN_SHARDS
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest


def shards(place: Place, root: Path, engine: str) -> StepFactory:
    """Shards that are already split."""

    def make(steps: Steps) -> Any:
        if steps.remote:
            return imported(str(place), "ExampleImporter")
        folder = local_folder(place, "examples")
        if engine == "tfx":
            return _import_example_gen(folder)
        return imported(linked_splits(folder, root / "examples"), "ExampleImporter")

    return make


def tfrecords(place: Place, root: Path, engine: str) -> StepFactory:
    """Shards that are already split, or TFRecord files that TFX splits by hash."""

    def make(steps: Steps) -> Any:
        if steps.remote or splits_of(local_folder(place, "examples")):
            return shards(place, root, engine)(steps)
        folder = local_folder(place, "examples")
        return tfx.components.ImportExampleGen(input_base=str(folder))

    return make


def csv_files(place: Place, node: str = "CsvFiles") -> StepFactory:
    """A folder of CSV files as an artifact, so that ML Metadata names it."""

    def make(steps: Steps) -> Any:
        uri = str(place if steps.remote else local_folder(place, "csv_files"))
        if not steps.remote and not Path(uri).is_dir():
            raise ConfigurationError(f"There is no folder {uri} with CSV files.")
        return tfx.dsl.Importer(
            source_uri=uri, artifact_type=simple_artifacts.Dataset, reimport=True
        ).with_id(node)

    return make


def csv(code: ModelCode) -> StepFactory:
    """The examples in CSV files with a header."""

    def make(steps: Steps) -> Any:
        return CsvExamples(files=steps.output("csv_files", "result"), code=code)

    return make


def kafka(
    request: RetrainRequest, contract: ModelContract, *, bootstrap: str, log: str, decoder: str
) -> StepFactory:
    """Offset ranges of a log."""

    def make(steps: Steps) -> Any:
        return KafkaExamples(
            request=msgspec.json.encode(request).decode(),
            contract=msgspec.json.encode(contract).decode(),
            bootstrap=bootstrap,
            log=log,
            decoder=decoder,
        )

    return make


def unlabelled(place: Place) -> StepFactory:
    """Gzipped TFRecord files in ``Split-unlabelled``, of which every row is predicted."""

    def make(steps: Steps) -> Any:
        folder = str(place) if steps.remote else local_folder(place, "bulk_examples")
        return imported(folder, "BulkExamples", splits=("unlabelled",))

    return make


def unlabelled_csv(code: ModelCode) -> StepFactory:
    """CSV files without labels, of which every row is predicted."""

    def make(steps: Steps) -> Any:
        files = steps.output("bulk_files", "result")
        return CsvExamples(files=files, code=code, splits=("unlabelled",)).with_id("BulkExamples")

    return make


def imported(folder: Place, node: str, splits: tuple[str, ...] = SPLITS) -> Any:
    """An Importer of the examples in ``folder/Split-*``; nothing is copied.

    A folder of this machine must have them; where a text names it, nothing is looked at.
    """
    names = ", ".join(f'"{name}"' for name in splits)
    missing = [
        name
        for name in splits
        if isinstance(folder, Path) and not (folder / f"Split-{name}").is_dir()
    ]
    if missing:
        raise ConfigurationError(
            f"{folder} has no folder Split-{missing[0]}; it must have one folder for each of"
            f" {', '.join(splits)}."
        )
    return tfx.dsl.Importer(
        source_uri=str(folder),
        artifact_type=tfx.types.standard_artifacts.Examples,
        reimport=True,
        properties={"split_names": f"[{names}]", "span": 0},
        custom_properties={
            "file_format": "tfrecords_gzip",
            "payload_format": "FORMAT_TF_EXAMPLE",
        },
    ).with_id(node)


def _import_example_gen(folder: Path) -> Any:
    patterns = splits_of(folder) or {"train": TRAIN_SHARDS, "eval": EVAL_SHARDS}
    splits = [
        tfx.proto.Input.Split(name=name, pattern=pattern) for name, pattern in patterns.items()
    ]
    return tfx.components.ImportExampleGen(
        input_base=str(folder), input_config=tfx.proto.Input(splits=splits)
    )

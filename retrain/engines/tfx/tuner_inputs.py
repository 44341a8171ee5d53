"""What a search works on, from the arguments that TFX gives its Tuner component."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tensorflow as tf
import tensorflow_transform as tft

from retrain.engines.tfx.search_space import search_space_of
from retrain.engines.tfx.training_config import NetJob, TunerOptions, read_config
from retrain.engines.tfx.training_data import load_columns, net_inputs, usable_rows
from retrain.engines.tfx.trials import ROWS, Slot, slots, visible_gpus
from retrain.engines.tfx.warm_files import search_folder
from retrain.models.heads import head_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search that can begin."""

    job: NetJob
    space: Any
    champion: dict[str, Any]
    options: TunerOptions
    folder: Path
    leases: list[Slot]


def prepared_search(fn_args: Any) -> Search:
    """Transform the training rows, write them for the processes, and decide on these."""
    code, batch, options = read_config(fn_args.custom_config)
    tuner = msgspec.json.decode(fn_args.custom_config["tuner"], type=TunerOptions)
    transform = tft.TFTransformOutput(fn_args.transform_graph_path)
    head = head_of(code.task)
    inputs = net_inputs(transform.transformed_feature_spec(), label=code.label)
    columns = load_columns(
        fn_args.train_files,
        transform.raw_feature_spec(),
        transform.transform_features_layer(),
        [*inputs, code.label],
    )
    rows = usable_rows(columns, head, code.label)
    folder = search_folder(Path(tuner.folder or fn_args.working_dir), rows.digest())
    folder.mkdir(parents=True, exist_ok=True)
    rows.save(folder / ROWS)
    return Search(
        job=NetJob(
            code=code,
            values={},
            batch=batch,
            steps=fn_args.train_steps,
            options=msgspec.structs.replace(options, checkpoints="", logs="", workers=1),
        ),
        space=search_space_of(code.build_model),
        champion=tuner.champion,
        options=tuner,
        folder=folder,
        leases=leases_of(tuner.parallel),
    )


def leases_of(parallel: int) -> list[Slot]:
    """A slot for each process: one for each GPU, or for each core, where no number is given."""
    gpus = visible_gpus(
        len(tf.config.list_physical_devices("GPU")), os.environ.get("CUDA_VISIBLE_DEVICES")
    )
    return slots(parallel or len(gpus) or len(os.sched_getaffinity(0)), gpus)

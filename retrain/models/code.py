"""What a model's folder must offer, and how the rest of the house finds it.

A model is an import path such as ``retrain.models.big_tipper``. Its module ``contract`` imports
no engine and holds one value, ``CODE``. The TFX functions are named by dotted paths and imported
by TFX alone, so that nobody pays for TensorFlow by asking which features a model has.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureKind, FeatureSpec

MISSING: Mapping[FeatureKind, int | float | str] = {
    "integer": -(2**63),
    "number": float("nan"),
    "text": "",
}
"""What stands for a missing value in a prediction request: tensors have no holes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCode:
    """A model's user code, named and not yet imported."""

    features: tuple[FeatureSpec, ...]
    """The events' fields: inputs of ``serving_default``, each a tensor of shape [rows, 1]."""
    schema: Path
    """The TFDV schema (text proto) of `features` and the label's columns."""
    preprocessing_fn: str
    """Dotted path of the TFX Transform function."""
    run_fn: str
    """Dotted path of the TFX Trainer function."""
    label: str
    """Name of the label that `preprocessing_fn` computes, 0 or 1."""
    label_columns: tuple[str, ...]
    """Fields of a label record that the label is computed from; never inputs when serving."""
    outcome: Callable[[Mapping[str, Any]], bool | None] | None = None
    """The label from a label record alone, where it can be told (None where it cannot): what
    realised quality is measured by. The record has to carry all that the label is made of."""
    slices: tuple[str, ...] = ()
    """Fields by whose values the evaluation is sliced, besides `ports.AFTER_SHIFT`."""


def load_code(module: str) -> ModelCode:
    """The code of the model at import path `module`.

    Raises
    ------
    ConfigurationError
        When there is no such module, or it offers no ``CODE``.

    >>> load_code("retrain.models.big_tipper").label
    'big_tipper'
    """
    try:
        code = importlib.import_module(f"{module}.contract").CODE
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"The model module {module} cannot be used: {error}. Name a package whose module"
            " `contract` holds CODE, such as retrain.models.big_tipper."
        ) from error
    if not isinstance(code, ModelCode):
        raise ConfigurationError(
            f"{module}.contract.CODE is a {type(code).__name__}, not a ModelCode."
        )
    return code


def instance(features: tuple[FeatureSpec, ...], values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """One row of a prediction request in TF Serving's row format, missing values filled in.

    Unknown fields of `values` are left out: the server refuses names that the model lacks.
    Write it with `json.dumps`: missing numbers are NaN, which TF Serving reads.

    >>> spec = FeatureSpec(name="fare", kind="number"), FeatureSpec(name="company", kind="text")
    >>> instance(spec, {"fare": 12.5, "tips": 3})
    {'fare': [12.5], 'company': ['']}
    """
    row: dict[str, list[Any]] = {}
    for spec in features:
        value = values.get(spec.name)
        row[spec.name] = [MISSING[spec.kind] if value is None else value]
    return row

"""The user code of a model: what its package must define, and how Driftline loads it.

A model is an import path such as ``retrain.models.big_tipper``. Its module ``contract`` imports
no engine and defines one value, ``CODE``. The TFX functions are named by dotted paths and imported
by TFX only, so that reading a model's features does not import TensorFlow.

Models are binary classifiers: the label is 0 or 1, the output is the probability of 1.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCode:
    """A model's user code, referenced by name and not yet imported."""

    features: tuple[FeatureSpec, ...]
    """Fields of the events. They are the inputs of ``serving_default``, tensors of [rows, 1]."""
    schema: Path
    """File of the TFDV schema (text proto) of `features` and the label's columns."""
    preprocessing_fn: str
    """Dotted path of the TFX Transform function."""
    run_fn: str
    """Dotted path of the TFX Trainer function."""
    label: str
    """Name of the label that `preprocessing_fn` computes, 0 or 1."""
    label_columns: tuple[str, ...]
    """Fields of a label record from which the label is computed; never inputs when serving."""
    outcome: Callable[[Mapping[str, Any]], bool | None] | None = None
    """Computes the label from a label record alone, for realised quality; it returns None when the
    record lacks a field. Without a function, quality is not measured."""
    slices: tuple[str, ...] = ()
    """Fields by whose values the evaluation is sliced, besides `ports.AFTER_SHIFT`."""


def load_code(module: str) -> ModelCode:
    """Load the code of the model at import path `module`.

    Raises
    ------
    ConfigurationError
        When there is no such module, its import fails for whatever reason, or it defines no
        ``CODE``.

    >>> load_code("retrain.models.big_tipper").label
    'big_tipper'
    """
    try:
        code = importlib.import_module(f"{module}.contract").CODE
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"The model module {module} cannot be used: {import_failure(error)}. Name a package"
            " whose module `contract` defines CODE, such as retrain.models.big_tipper."
        ) from error
    if not isinstance(code, ModelCode):
        raise ConfigurationError(
            f"{module}.contract.CODE is a {type(code).__name__}, not a ModelCode."
        )
    return code


def import_failure(error: BaseException) -> str:
    """One line that describes why user code could not be imported.

    >>> import_failure(RuntimeError("no licence"))
    'RuntimeError: no licence'
    """
    reason = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ImportError | AttributeError):
        return reason
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__

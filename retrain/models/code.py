"""The user code of a model: what its package must define, and how Driftline loads it.

A model is an import path such as ``retrain.models.big_tipper``. Its module ``contract`` imports
no engine and defines one value, ``CODE``. The TFX functions are named by dotted paths and imported
by TFX only, so that reading a model's features does not import TensorFlow.

`ModelCode.task` says what the model predicts, and with it which labels and outputs it has.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import BINARY, Task, problems


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCode:
    """A model's user code, referenced by name and not yet imported."""

    features: tuple[FeatureSpec, ...]
    """Fields of the events. They are the inputs of ``serving_default``, tensors of [rows, 1]."""
    schema: Path
    """File of the TFDV schema (text proto) of `features` and the label's columns."""
    preprocessing_fn: str
    """Dotted path of the TFX Transform function."""
    label: str
    """Name of the label that `preprocessing_fn` computes."""
    label_columns: tuple[str, ...]
    """Fields of a label record from which the label is computed; never inputs when serving."""
    task: Task = BINARY
    """What the model predicts. The label is 0 or 1 (binary), the name of a class (multiclass), or a
    number (regression)."""
    build_model: str = ""
    """Dotted path of ``build_model(inputs, hyperparameters)``. It returns the untrained
    `keras.Model` over `inputs`, Transform's output columns by name without the label."""
    run_fn: str = ""
    """Dotted path of a TFX Trainer function that replaces the platform's trainer; empty for the
    platform's, which trains `build_model`."""
    outcome: Callable[[Mapping[str, Any]], Any] | None = None
    """Computes the label from a label record alone, for realised quality; it returns None when the
    record lacks a field. Without a function, quality is not measured."""
    entity: str = ""
    """Feature whose equal values are one entity, such as a customer: the rows of one resemble each
    other, so intervals are wider than those of independent rows. Empty when each row is its own."""
    slices: tuple[str, ...] = ()
    """Fields by whose values the evaluation is sliced, besides `ports.AFTER_SHIFT`."""


def load_code(module: str) -> ModelCode:
    """Load the code of the model at import path `module`.

    Raises
    ------
    ConfigurationError
        When there is no such module, its import fails for whatever reason, or it defines no
        usable ``CODE``.

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
    reasons = problems(code.task)
    if not (code.build_model or code.run_fn):
        reasons.append("It needs build_model, the dotted path of the function that makes the net.")
    reasons += [
        f"The feature {spec.name} is multivalent and of kind {spec.kind}; lists are read as text."
        for spec in code.features
        if spec.multivalent and spec.kind != "text"
    ]
    if reasons:
        raise ConfigurationError(f"{module}.contract.CODE cannot be used: {' '.join(reasons)}")
    return code


def import_function(path: str) -> Callable[..., Any]:
    """The function at the dotted path of a module's attribute.

    Raises
    ------
    ConfigurationError
        When the module cannot be imported or has no such function.
    """
    module, _, name = path.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{path} cannot be used: {import_failure(error)}.") from error
    if not callable(function):
        raise ConfigurationError(f"{path} is a {type(function).__name__}, not a function.")
    return cast(Callable[..., Any], function)


def import_failure(error: BaseException) -> str:
    """One line that describes why user code could not be imported.

    >>> import_failure(RuntimeError("no licence"))
    'RuntimeError: no licence'
    """
    reason = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ImportError | AttributeError):
        return reason
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__

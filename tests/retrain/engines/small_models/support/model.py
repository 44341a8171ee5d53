"""Preprocessing and net, both the platform's for tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from retrain.models import tabular
from tests.retrain.engines.small_models.support.contract import CODE

preprocessing_fn = tabular.preprocessing_fn(CODE)


def build_model(inputs: dict[str, Any], hyperparameters: Mapping[str, Any]) -> Any:
    """A wide & deep net."""
    return tabular.build_model(inputs, hyperparameters, CODE.task)

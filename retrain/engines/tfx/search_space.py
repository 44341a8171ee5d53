"""What a search varies: the model's own ``search_space(hp)``, or a default.

``search_space`` stands in the module of ``build_model`` and declares hyperparameters on a
`keras_tuner.HyperParameters`. Without one, a module that uses `retrain.models.tabular` gets the
space of its net; every other model gets the trainer's own values, step size and batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner

from retrain.models import tabular
from retrain.models.code import import_function
from streaming.contracts.errors import ConfigurationError

FUNCTION = "search_space"


def search_space_of(build_model: str) -> Any:
    """The hyperparameters that a search for this model varies, with their defaults.

    Raises
    ------
    ConfigurationError
        When the model's ``search_space`` fails or declares nothing.
    """
    module = import_function(build_model).__globals__
    hyperparameters = keras_tuner.HyperParameters()
    if FUNCTION not in module:
        (tabular.search_space if module.get("tabular") is tabular else _trainer)(hyperparameters)
        return hyperparameters
    name = f"{build_model.rpartition('.')[0]}.{FUNCTION}"
    try:
        module[FUNCTION](hyperparameters)
    except Exception as error:
        raise ConfigurationError(f"{name} fails: {type(error).__name__}: {error}.") from error
    if not hyperparameters.space:
        raise ConfigurationError(
            f"{name} declares no hyperparameter; call hp.Float, hp.Int, hp.Choice or hp.Boolean."
        )
    return hyperparameters


def first_values(space: Any, champion: Mapping[str, Any]) -> dict[str, Any]:
    """The first trial: the champion's values where the space has them, else the defaults.

    Values that the champion has and the space has not stay as they are in every trial; see `fixed`.
    """
    return {name: champion.get(name, value) for name, value in space.values.items()}


def fixed(space: Any, champion: Mapping[str, Any]) -> dict[str, Any]:
    """The champion's values that are not searched and not chosen from the number of rows."""
    chosen = (*space.values, "batch", "epochs", "learning_rate")
    return {name: value for name, value in champion.items() if name not in chosen}


def _trainer(hp: Any) -> None:
    hp.Float("learning_rate", 0.001, 0.03, sampling="log", default=0.01)
    hp.Choice("batch", [64, 128, 256, 512], default=256)

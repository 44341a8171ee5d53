"""The net. Driftline trains, exports and serves what `build_model` returns."""

from churn.contract import CODE
from retrain.models import tabular


def build_model(inputs, hyperparameters):
    """An untrained Keras model over `inputs`, a Keras input for each column of the net."""
    return tabular.build_model(inputs, hyperparameters, CODE.task)

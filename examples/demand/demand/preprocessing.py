"""Turns columns of the data into columns of the net (TFX Transform)."""

from demand.contract import CODE, LABEL
from retrain.models import tabular


def preprocessing_fn(inputs):
    """The net's columns, and the label.

    Numbers become standard scores and a flag for missing ones, categories become hash buckets. Add
    a column of your own to `columns`, for example a ratio of two inputs.
    """
    columns = tabular.columns(inputs, CODE.features)
    label = tabular.label(inputs[LABEL], CODE.task)
    return columns | {CODE.label: label}

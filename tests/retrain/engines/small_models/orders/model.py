"""A vocabulary of items, a standard score of the price, and a small net over both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow_transform as tft

from retrain.models.heads import head_of
from retrain.models.tabular import dense
from streaming.contracts.task import BINARY

ITEMS = 64
"""Rows of the embedding, unless a hyperparameter says it; the vocabulary is smaller."""


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Item → its number in the vocabulary, 0 for an unknown one; price → standard score."""
    item = tft.compute_and_apply_vocabulary(
        dense(inputs["item"], ""), top_k=ITEMS - 2, vocab_filename="items"
    )
    return {
        "item_number": item,
        "price_score": tft.scale_to_z_score(dense(inputs["price"], 0.0)),
        "returned": dense(inputs["returned"], 0),
    }


def build_model(inputs: dict[str, Any], hyperparameters: Mapping[str, Any]) -> Any:
    """An embedding of the item beside the price."""
    size = int(hyperparameters.get("embedding_size", 4))
    rows = int(hyperparameters.get("rows", ITEMS))
    item = keras.layers.Embedding(rows, size)(inputs["item_number"] + 1)
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(item), inputs["price_score"]])
    hidden = keras.layers.Dense(int(hyperparameters.get("units", 8)), activation="relu")(joined)
    if dropout := float(hyperparameters.get("dropout", 0.0)):
        hidden = keras.layers.Dropout(dropout)(hidden)
    return keras.Model(inputs, head_of(BINARY).layer(hidden))


def search_space(hp: Any) -> None:
    """What the tuner may vary."""
    hp.Int("units", 4, 16, step=4, default=8)
    hp.Float("learning_rate", 0.001, 0.1, sampling="log", default=0.01)

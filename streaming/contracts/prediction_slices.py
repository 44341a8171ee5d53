"""Which slice a served prediction is of: the value of one of its fields, such as its tenant.

The applications write the value into each prediction; requests carry the same value in a header.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NO_SLICE = -1
"""The number of a prediction of no slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSlices:
    """The slices of a model's predictions."""

    field: str = ""
    """Field of a prediction's message; empty = no slices."""
    values: tuple[str, ...] = ()
    """Values of the field that form a slice each."""

    def number_of(self, fields: Mapping[str, Any]) -> int:
        """The index of a prediction's slice in `values`; `NO_SLICE` for any other value.

        >>> slices = PredictionSlices(field="shop", values=("north", "7"))
        >>> [slices.number_of({"shop": value}) for value in ("7", 7, "south", None, True)]
        [1, 1, -1, -1, -1]
        """
        value = fields.get(self.field) if self.field else None
        if isinstance(value, bool) or not isinstance(value, str | int):
            return NO_SLICE
        text = str(value)
        return self.values.index(text) if text in self.values else NO_SLICE


NO_SLICES = PredictionSlices()

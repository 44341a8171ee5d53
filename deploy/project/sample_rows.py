"""Rows of a model without data of its own: values that its schema allows. Pure but for the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.project.values import Value
from streaming.contracts.model import FeatureSpec
from streaming.contracts.task import Task

MISSING_SHARE = 0.05
"""Share of the values of a column, that is not required, that are missing."""
UNKNOWN_TEXTS = ("alpha", "beta", "gamma")
"""Values of a text column without listed ones."""


class SampleRows:
    """Generates events and labels.

    Parameters
    ----------
    schema:
        The TFDV schema, a proto.
    """

    def __init__(
        self,
        features: tuple[FeatureSpec, ...],
        labels: tuple[FeatureSpec, ...],
        task: Task,
        schema: Any,
        seed: int = 1,
    ) -> None:
        self._features, self._labels, self._task = features, labels, task
        self._columns: Mapping[str, Any] = {column.name: column for column in schema.feature}
        self._domains = {domain.name: list(domain.value) for domain in schema.string_domain}
        self._random = random.Random(seed)  # noqa: S311  (no secret)

    def rows(self, count: int) -> Iterator[tuple[dict[str, Value], dict[str, Value]]]:
        """Pairs of an event's values and its label's."""
        for _ in range(count):
            values = {spec.name: self._value(spec) for spec in self._features}
            yield values, {spec.name: self._label(spec) for spec in self._labels}

    def _value(self, spec: FeatureSpec) -> Value:
        column = self._columns.get(spec.name)
        required = spec.required or (column is not None and column.presence.min_fraction >= 1.0)
        if not required and self._random.random() < MISSING_SHARE:
            return None
        if spec.kind == "text":
            return self._random.choice(self._texts(column))
        low, high = self._bounds(column, spec)
        if spec.kind == "integer":
            return self._random.randint(round(low), round(high))
        return self._random.uniform(low, high)

    def _label(self, spec: FeatureSpec) -> Value:
        if spec.kind == "text":
            classes = list(self._task.classes)
            return self._random.choice(classes or self._texts(self._columns.get(spec.name)))
        if self._task.kind == "binary" and spec.kind == "integer":
            return self._random.randint(0, 1)
        low, high = self._bounds(self._columns.get(spec.name), spec)
        value = self._random.uniform(max(low, 0.0), high)
        return round(value) if spec.kind == "integer" else value

    def _texts(self, column: Any) -> list[str]:
        if column is None:
            return list(UNKNOWN_TEXTS)
        own = list(column.string_domain.value) or self._domains.get(column.domain, [])
        return own or list(UNKNOWN_TEXTS)

    def _bounds(self, column: Any, spec: FeatureSpec) -> tuple[float, float]:
        domain = None if column is None else column.WhichOneof("domain_info")
        low, high = 0.0, 9.0 if spec.categorical else 100.0
        if domain in ("float_domain", "int_domain"):
            bounds = getattr(column, domain)
            low = float(bounds.min) if bounds.HasField("min") else low
            high = float(bounds.max) if bounds.HasField("max") else max(high, low + 100.0)
        return low, high

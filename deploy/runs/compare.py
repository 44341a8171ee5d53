"""Compares runs: what differs in parameters, metrics and durations. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from retrain.run_view import Run
from streaming.contracts.records import Metric


class ComparedValue(msgspec.Struct, frozen=True, kw_only=True):
    """A value of several runs; None where a run lacks it."""

    name: str
    values: tuple[Any, ...]
    """One for each run, in their order."""
    differs: bool
    """Whether the runs do not all have the same value."""


class ComparedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of several runs on one slice."""

    name: str
    slice: str
    values: tuple[Metric | None, ...]
    """One for each run; None where it was not measured."""
    apart: bool = False
    """Whether the 95 % intervals of two runs do not overlap. That is no test: each run has its own
    rows, and two runs on the same rows can differ although their intervals overlap."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Several runs side by side."""

    runs: tuple[Run, ...]
    parameters: tuple[ComparedValue, ...]
    metrics: tuple[ComparedMetric, ...]
    components: tuple[ComparedValue, ...]
    """Seconds by component."""
    same_events: bool
    """Whether all were trained on the same offsets."""


def compare(runs: Sequence[Run]) -> Comparison:
    """Put runs side by side.

    Parameters
    ----------
    runs:
        Two or more.
    """
    facts = [_facts(run) for run in runs]
    seconds = [{each.name: round(each.seconds, 3) for each in run.components} for run in runs]
    return Comparison(
        runs=tuple(runs),
        parameters=_values(facts),
        metrics=_metrics(runs),
        components=_values(seconds),
        same_events=len({(run.events, run.labels) for run in runs}) == 1,
    )


def _facts(run: Run) -> Mapping[str, Any]:
    return {
        "cause": run.cause,
        "rows": run.rows or None,
        "schema": run.schema_digest[:12] or None,
        "base version": run.base_version or None,
        **run.parameters,
    }


def _values(each_run: Sequence[Mapping[str, Any]]) -> tuple[ComparedValue, ...]:
    names = _ordered(name for values in each_run for name in values)
    rows = [(name, tuple(values.get(name) for values in each_run)) for name in names]
    return tuple(
        ComparedValue(name=name, values=values, differs=any(v != values[0] for v in values))
        for name, values in rows
    )


def _metrics(runs: Sequence[Run]) -> tuple[ComparedMetric, ...]:
    by_key = [{(m.name, m.slice): m for m in run.metrics} for run in runs]
    keys = _ordered(key for metrics in by_key for key in metrics)
    return tuple(
        ComparedMetric(
            name=name,
            slice=of_slice,
            values=(values := tuple(metrics.get((name, of_slice)) for metrics in by_key)),
            apart=_apart(values),
        )
        for name, of_slice in keys
    )


def _apart(metrics: Sequence[Metric | None]) -> bool:
    """Whether some interval lies wholly above another."""
    intervals = [(m.low, m.high) for m in metrics if m is not None]
    known = [(low, high) for low, high in intervals if low is not None and high is not None]
    return any(first[0] > second[1] for first in known for second in known)


def _ordered(names: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(names))

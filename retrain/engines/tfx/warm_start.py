"""Whether a training may start from the champion: its transform graph, and its weights.

The rows of an embedding belong to the numbers that a vocabulary gives its values. Weights are taken
over only with the vocabularies that they were trained with. These age: values that appeared since
all share the place for unknown ones. When they are too many, Transform learns the vocabulary again
and the training starts cold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from retrain.engines.tfx.warm_files import (
    TRANSFORM_GRAPH,
    WEIGHTS,
    TrainingRecord,
    read_training,
    schema_digest,
    transform_graph_of,
)
from retrain.models.code import ModelCode
from retrain.models.code_digest import code_digest
from retrain.ports import TRAIN_SHARDS
from streaming.contracts.errors import DecodeError

MAX_NEW = 0.05
"""A vocabulary is too old when this share of the rows has values that it does not know, beyond the
share that it did not know when it was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionFacts:
    """What is known of the champion and the new rows."""

    record: TrainingRecord | None
    """How the champion was trained."""
    code_digest: str
    schema_digest: str
    has_graph: bool
    unknown: Mapping[str, float] = field(default_factory=dict)
    """Transformed column → share of the new rows whose value its vocabulary does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """Whether the champion's transform graph is used again."""

    graph: Path | None
    """The graph; None = run Transform."""
    reason: str
    """Why, in one sentence."""
    unknown: Mapping[str, float] = field(default_factory=dict)
    """See `ChampionFacts.unknown`."""


def obstacle(facts: ChampionFacts) -> str:
    """Why the champion's graph does not fit, as a clause; empty when it does.

    >>> record = TrainingRecord(code_digest="c", schema_digest="s", hyperparameters={})
    >>> known = dict(record=record, schema_digest="s", has_graph=True)
    >>> obstacle(ChampionFacts(code_digest="c", **known))
    ''
    >>> obstacle(ChampionFacts(code_digest="d", **known))
    "the model's code has changed since"
    >>> obstacle(ChampionFacts(code_digest="c", unknown={"item": 0.125}, **known))[:42]
    '12.5 % of the rows have a value of item th'
    """
    record = facts.record
    if record is None or not facts.has_graph:
        return "the champion has no transform graph: it is older than this rule"
    if record.code_digest != facts.code_digest:
        return "the model's code has changed since"
    if record.schema_digest != facts.schema_digest:
        return "the schema has changed since"
    for column, share in sorted(facts.unknown.items(), key=lambda item: -item[1]):
        then = record.out_of_vocabulary.get(column, 0.0)
        if share - then > MAX_NEW:
            return (
                f"{100 * share:.3g} % of the rows have a value of {column} that the champion's"
                f" vocabulary does not know ({100 * then:.3g} % then)"
            )
    return ""


def reusable_graph(champion: Path | None, code: ModelCode, schema: Path, examples: Path) -> Reuse:
    """Decide before the pipeline is built; rows are read only where vocabularies exist.

    Parameters
    ----------
    champion:
        Folder of the live SavedModel; None when no version is live.
    code:
        The model's code.
    schema:
        Schema file of this run.
    examples:
        Folder of this run's shards.

    Raises
    ------
    DecodeError
        When the champion's record is damaged.
    """
    if champion is None:
        return Reuse(graph=None, reason="Transform runs: no version is live.")
    graph = transform_graph_of(champion)
    facts = ChampionFacts(
        record=read_training(champion),
        code_digest=code_digest(code),
        schema_digest=schema_digest(schema),
        has_graph=graph is not None,
    )
    reason = obstacle(facts)
    unknown: Mapping[str, float] = {}
    if graph is not None and not reason:
        from retrain.engines.tfx.vocabularies import shares_of_rows

        unknown = shares_of_rows(graph, examples, TRAIN_SHARDS)
        reason = obstacle(replace(facts, unknown=unknown))
    if reason:
        return Reuse(graph=None, reason=f"Transform runs: {reason}.", unknown=unknown)
    return Reuse(
        graph=graph,
        reason="The champion's transform graph is used: code and schema are the same.",
        unknown=unknown,
    )


def weights_obstacle(base: Path | None, graph: Path, digest: str) -> str:
    """Why the champion's weights are not taken over, as a clause; empty when they may be.

    Parameters
    ----------
    base:
        Folder of the champion's SavedModel; None without one.
    graph:
        The transform graph of this training.
    digest:
        Digest of the model's code.
    """
    if base is None:
        return "no champion was given"
    if not (base / WEIGHTS).is_file():
        return "the champion has no weights of a net"
    try:
        record = read_training(base)
    except DecodeError:
        return "the champion's record of its training is damaged"
    if record is None or record.code_digest != digest:
        return "the model's code has changed since"
    if _vocabularies(base / TRANSFORM_GRAPH) != _vocabularies(graph):
        return "the vocabularies were learnt again, so the rows of the embeddings have moved"
    return ""


def load_weights(model: Any, base: Path) -> str:
    """Load the champion's weights into `model`; returns why they do not fit, as a clause.

    The net keeps its own weights when they do not.
    """
    own = [np.asarray(variable) for variable in model.variables]
    try:
        model.load_weights(base / WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        for variable, value in zip(model.variables, own, strict=True):
            variable.assign(value)
        first_line = str(error).strip().split("\n")[0][:200]
        return f"its weights do not fit this net ({first_line})"
    if not all(np.isfinite(np.asarray(weight)).all() for weight in model.weights):
        for variable, value in zip(model.variables, own, strict=True):
            variable.assign(value)
        return "its weights contain values that are no numbers"
    return ""


def _vocabularies(graph: Path) -> dict[str, bytes]:
    """Name → content of the vocabularies of a transform graph."""
    folder = graph / "transform_fn" / "assets"
    files = sorted(folder.rglob("*")) if folder.is_dir() else ()
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

"""How a replay writes events, labels and predictions: as the model's settings read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from deploy.demo.event_writer import EventWriter, schema_text
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.mapping import RecordMapping
from streaming.contracts.model import FeatureSpec, ModelContract

Register = Callable[[str, str], int]
"""Subject and Avro schema → number of the schema in the registry."""


@dataclass(frozen=True, slots=True)
class ReplayWriters:
    """One writer for each topic of a model."""

    events: EventWriter
    labels: EventWriter
    predictions: EventWriter


def replay_writers(
    contract: ModelContract, labels: Sequence[FeatureSpec], register: Register
) -> ReplayWriters:
    """The writers of a model's topics; schemas are registered where a format needs that.

    Parameters
    ----------
    labels:
        The fields of a label record.

    Raises
    ------
    ConfigurationError
        When the mapping of a topic has no other direction.
    UnavailableError
        When the registry does not answer.
    """
    if contract.predictions.format != "json":
        raise ConfigurationError(
            f"Predictions of {contract.model} are in {contract.predictions.format}; a replay "
            "writes them as JSON only. Take `predictions` out of the settings meanwhile."
        )
    of_labels = _of(contract, contract.labels, tuple(labels))
    of_labels = replace(of_labels, events=replace(of_labels.events, time_format="s"))
    of_predictions = _of(contract, contract.predictions, ())
    return ReplayWriters(
        events=_writer(contract, contract.events_topic, register),
        labels=_writer(of_labels, contract.labels_topic, register),
        predictions=EventWriter(of_predictions),
    )


def _of(
    contract: ModelContract, mapping: RecordMapping, features: tuple[FeatureSpec, ...]
) -> ModelContract:
    """The contract of a topic as if its records were events."""
    return replace(
        contract,
        key=mapping.key or contract.key,
        time=mapping.time or contract.time,
        features=features,
        events=mapping,
    )


def _writer(contract: ModelContract, topic: str, register: Register) -> EventWriter:
    if contract.events.format != "avro":
        return EventWriter(contract)
    EventWriter(contract)  # what cannot be written is refused before anything is registered
    return EventWriter(contract, register(f"{topic}-value", schema_text(contract)))

"""Named nodes of ML Metadata that are written any number of times and exist once.

Every node that Driftline itself writes has a name, so a repeated record or a second writer changes
nothing. Values are custom properties, which need no declared type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2 as mlmd

PREFIX = "driftline_"
"""Begin of the names of Driftline's properties."""

Properties = Mapping[str, str | int | float]


class Graph:
    """Writes nodes by name.

    Parameters
    ----------
    store:
        ML Metadata.
    """

    def __init__(self, store: MetadataStore) -> None:
        self.store = store
        self._types: dict[tuple[type, str], int] = {}

    def context(self, kind: str, name: str, properties: Properties) -> Any:
        """A context; properties that it has already are replaced, others stay."""
        existing = self.store.get_context_by_type_and_name(kind, name)
        context = existing or mlmd.Context(type_id=self._type(mlmd.ContextType, kind), name=name)
        if not _set(context, properties) and existing is not None:
            return context
        try:
            [context.id] = self.store.put_contexts([context])
        except errors.AlreadyExistsError:  # another process was faster, with the same content
            return self.store.get_context_by_type_and_name(kind, name)
        return context

    def artifact(
        self, kind: str, name: str, uri: str, properties: Properties, *, contexts: Sequence[Any]
    ) -> Any:
        """A live artifact that is attributed to contexts."""
        existing = self.store.get_artifact_by_type_and_name(kind, name)
        artifact = existing or mlmd.Artifact(type_id=self._type(mlmd.ArtifactType, kind), name=name)
        artifact.uri, artifact.state = uri, mlmd.Artifact.LIVE
        _set(artifact, properties)
        try:
            [artifact.id] = self.store.put_artifacts([artifact])
        except errors.AlreadyExistsError:
            artifact = self.store.get_artifact_by_type_and_name(kind, name)
        self._attribute([mlmd.Attribution(artifact_id=artifact.id, context_id=context.id)
                         for context in contexts], [])  # fmt: skip
        return artifact

    def execution(
        self,
        kind: str,
        name: str,
        properties: Properties,
        *,
        contexts: Sequence[Any],
        inputs: Sequence[tuple[str, Any]] = (),
        outputs: Sequence[tuple[str, Any]] = (),
        failed: bool = False,
    ) -> Any:
        """An execution that has ended, with its artifacts by the name of their channel."""
        existing = self.store.get_execution_by_type_and_name(kind, name)
        execution = existing or mlmd.Execution(
            type_id=self._type(mlmd.ExecutionType, kind), name=name
        )
        state = mlmd.Execution.FAILED if failed else mlmd.Execution.COMPLETE
        execution.last_known_state = state
        _set(execution, properties)
        try:
            [execution.id] = self.store.put_executions([execution])
        except errors.AlreadyExistsError:
            execution = self.store.get_execution_by_type_and_name(kind, name)
        self._attribute([], [mlmd.Association(execution_id=execution.id, context_id=context.id)
                             for context in contexts])  # fmt: skip
        self._connect(execution.id, mlmd.Event.INPUT, inputs)
        self._connect(execution.id, mlmd.Event.OUTPUT, outputs)
        return execution

    def parent(self, parent: Any, child: Any) -> None:
        """Make a context the parent of another one."""
        try:
            self.store.put_parent_contexts(
                [mlmd.ParentContext(parent_id=parent.id, child_id=child.id)]
            )
        except errors.AlreadyExistsError:
            return

    def _connect(self, execution: int, kind: Any, artifacts: Sequence[tuple[str, Any]]) -> None:
        known = {
            (event.artifact_id, event.type)
            for event in self.store.get_events_by_execution_ids([execution])
        }
        events = []
        for name, artifact in artifacts:
            if (artifact.id, kind) not in known:
                event = mlmd.Event(artifact_id=artifact.id, execution_id=execution, type=kind)
                event.path.steps.add().key = name
                event.path.steps.add().index = 0
                events.append(event)
        if events:
            self.store.put_events(events)

    def _attribute(self, attributions: list[Any], associations: list[Any]) -> None:
        """ML Metadata ignores those that it has already."""
        if attributions or associations:
            self.store.put_attributions_and_associations(attributions, associations)

    def _type(self, kind: type, name: str) -> int:
        key = (kind, name)
        if key not in self._types:
            put = {
                mlmd.ContextType: self.store.put_context_type,
                mlmd.ArtifactType: self.store.put_artifact_type,
                mlmd.ExecutionType: self.store.put_execution_type,
            }[kind]
            # TFX declares properties of its own types, which are not to be omitted here
            self._types[key] = put(kind(name=name), can_add_fields=True, can_omit_fields=True)
        return self._types[key]


def text_of(node: Any, name: str) -> str:
    """A text property; empty when the node lacks it."""
    key = PREFIX + name
    return node.custom_properties[key].string_value if key in node.custom_properties else ""


def number_of(node: Any, name: str) -> float:
    """A number property; 0 when the node lacks it."""
    key = PREFIX + name
    if key not in node.custom_properties:
        return 0
    value = node.custom_properties[key]
    return float(value.int_value if value.HasField("int_value") else value.double_value)


def _set(node: Any, properties: Properties) -> bool:
    """Set properties; whether any was new or another."""
    changed = False
    for name, value in properties.items():
        held = mlmd.Value()
        if isinstance(value, str):
            held.string_value = value
        elif isinstance(value, int):
            held.int_value = value
        else:
            held.double_value = value
        key = PREFIX + name
        if key not in node.custom_properties or node.custom_properties[key] != held:
            node.custom_properties[key].CopyFrom(held)
            changed = True
    return changed

"""Whether the path that a node reads can only be one that the loader gives.

TensorFlow's loader feeds two kinds of tensors: the prefix of the checkpoint while it restores, and
the paths of the assets while it restores and initialises. A node may read a file only if its path
comes from such a tensor unchanged, through identities, calls and variables. In a signature nothing
is fed, so that a constant that is named as an asset would be read as it stands: there no node may
read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.engines.modelserver.graph_program import MAIN, GraphNode, Program, Purpose, node_name
from serving.engines.modelserver.operations import READING_ASSETS, RESTORING
from serving.engines.modelserver.protos import AssetFileDef

_ASSETS = "saved_model_assets"
_UNCHANGED = frozenset({"Identity", "StopGradient", "PreventGradient"})
_VARIABLE_USERS = frozenset({"ReadVariableOp", "AssignVariableOp", "VarIsInitializedOp"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})


@dataclass(frozen=True, slots=True)
class Fed:
    """The nodes that the loader feeds with paths inside the version's folder."""

    checkpoint: frozenset[str]
    assets: frozenset[str]

    @classmethod
    def of(cls, meta_graph: Any) -> Fed:
        """The fed nodes of a graph."""
        prefix = node_name(meta_graph.saver_def.filename_tensor_name)
        assets = (node_name(file.tensor_info.name) for file in asset_files(meta_graph))
        return cls(frozenset({prefix} - {""}), frozenset(assets))


def asset_files(meta_graph: Any) -> list[Any]:
    """The ``AssetFileDef`` of a graph; old models keep them in a collection."""
    files = list(meta_graph.asset_file_def)
    if not files:
        for packed in meta_graph.collection_def[_ASSETS].any_list.value:
            files.append(AssetFileDef.FromString(packed.value))
    return files


def reads_only_its_own(program: Program, graph_node: GraphNode, fed: Fed) -> bool:
    """Whether a node of `RESTORING` or `READING_ASSETS` reads nothing but the model's own files."""
    purposes, operation = program.purposes_of(graph_node), graph_node.node.op
    if purposes is Purpose.NONE:
        return True
    if operation in RESTORING:
        allowed, position, sources = Purpose.RESTORE, RESTORING[operation], fed.checkpoint
    else:
        allowed, position = Purpose.RESTORE | Purpose.INIT, READING_ASSETS[operation]
        sources = fed.assets
    if purposes & ~allowed:
        return False
    data = [reference for reference in graph_node.node.input if not reference.startswith("^")]
    if len(data) <= position:
        return False
    return _Origin(program, sources).is_fed(graph_node.scope, data[position])


class _Origin:
    """Follows a tensor back to where it comes from."""

    def __init__(self, program: Program, sources: frozenset[str]) -> None:
        self._program, self._sources = program, sources
        self._known: dict[tuple[str, str], bool] = {}

    def is_fed(self, scope: str, reference: str) -> bool:
        """Whether a tensor is, on every way, one that the loader feeds."""
        name = node_name(reference)
        if scope == MAIN and name in self._sources:
            return True
        if (scope, name) not in self._known:
            self._known[scope, name] = False  # a loop comes from nowhere
            self._known[scope, name] = self._is_fed(scope, name)
        return self._known[scope, name]

    def _is_fed(self, scope: str, name: str) -> bool:
        node = self._program.nodes[scope].get(name)
        if node is None:
            return self._argument_is_fed(scope, name)
        if node.op in _UNCHANGED:
            return self.is_fed(scope, node.input[0])
        return scope == MAIN and node.op == "ReadVariableOp" and self._variable_is_fed(node)

    def _argument_is_fed(self, scope: str, name: str) -> bool:
        position = self._program.arguments.get(scope, {}).get(name)
        callers = self._program.callers.get(scope, [])
        if position is None or not callers:
            return False
        for caller in callers:
            if self._program.purposes_of(caller) is Purpose.NONE:
                continue
            if caller.node.op not in _CALLS and caller.node.op != scope:
                return False
            if position >= len(caller.node.input):
                return False
            if not self.is_fed(caller.scope, caller.node.input[position]):
                return False
        return True

    def _variable_is_fed(self, read: Any) -> bool:
        """Whether every assignment to a variable is fed: Keras keeps paths of assets in variables.

        The variable must be visible: used by reads and assignments only, and under one name.
        """
        name = node_name(read.input[0])
        nodes = self._program.nodes[MAIN]
        variable = nodes.get(name)
        if variable is None or variable.op != "VarHandleOp" or self._handles(variable) != 1:
            return False
        users = [node for node in nodes.values() if name in map(_data_name, node.input)]
        assignments = [node for node in users if node.op == "AssignVariableOp"]
        return all(node.op in _VARIABLE_USERS for node in users) and all(
            _data_name(node.input[0]) == name and self.is_fed(MAIN, node.input[1])
            for node in assignments
        )

    def _handles(self, variable: Any) -> int:
        """The number of nodes that give a handle of this variable."""
        handles = (
            graph_node.node
            for graph_node in self._program.graph_nodes()
            if graph_node.node.op == "VarHandleOp"
        )
        return sum(_resource(node) == _resource(variable) for node in handles)


def _resource(node: Any) -> bytes:
    """The name under which the session keeps a variable."""
    return bytes(node.attr["shared_name"].s or node.name.encode())


def _data_name(reference: str) -> str:
    """The node of a data input; empty for a control input."""
    return "" if reference.startswith("^") else node_name(reference)

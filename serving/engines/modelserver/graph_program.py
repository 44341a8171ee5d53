"""What each node of a SavedModel's program runs for: serving, initialising, restoring.

The server runs the outputs of the signatures (`SERVE`), the init operation (`INIT`) and the restore
operation (`RESTORE`), each with everything that it needs. A function has the purposes of its
callers. What has no purpose, for example the save operation, never runs here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Flag
from typing import Any

from serving.engines.modelserver.codes import invalid


class Purpose(Flag):
    """What the server runs a node for."""

    NONE = 0
    SERVE = 1
    INIT = 2
    RESTORE = 4


_INIT_COLLECTIONS = ("saved_model_main_op", "main_op", "legacy_init_op")
MAIN = ""
"""The scope of the nodes outside functions."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node and the function that holds it; `MAIN` for none."""

    scope: str
    node: Any

    @property
    def text(self) -> str:
        """For messages."""
        return f"node {self.node.name}" + (f" of function {self.scope}" if self.scope else "")


@dataclass(slots=True)
class Program:
    """The nodes of a ``MetaGraphDef`` with their callers and purposes."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By scope and name."""
    arguments: dict[str, dict[str, int]] = field(default_factory=dict)
    """Names and positions of each function's arguments."""
    callers: dict[str, list[GraphNode]] = field(default_factory=lambda: defaultdict(list))
    """The nodes that name a function."""
    main_purposes: dict[str, Purpose] = field(default_factory=dict)
    """Purposes of the nodes outside functions; `Purpose.NONE` for those not listed."""
    function_purposes: dict[str, Purpose] = field(default_factory=dict)

    def graph_nodes(self) -> Iterator[GraphNode]:
        """Every node."""
        for scope, nodes in self.nodes.items():
            for node in nodes.values():
                yield GraphNode(scope, node)

    def purposes_of(self, graph_node: GraphNode) -> Purpose:
        """What a node runs for."""
        if graph_node.scope == MAIN:
            return self.main_purposes.get(graph_node.node.name, Purpose.NONE)
        return self.function_purposes.get(graph_node.scope, Purpose.NONE)


def program_of(meta_graph: Any) -> Program:
    """The nodes of a graph and what they run for.

    Raises
    ------
    Refused
        INVALID_ARGUMENT for a name that occurs twice: the check and TensorFlow could mean different
        ones.
    """
    program = Program()
    program.nodes[MAIN] = _by_name(meta_graph.graph_def.node)
    for function in meta_graph.graph_def.library.function:
        name = function.signature.name
        if name in program.nodes:
            raise invalid(f"The graph has two functions with the name {name!r}.")
        arguments = function.signature.input_arg
        program.nodes[name] = _by_name(function.node_def, {item.name for item in arguments})
        program.arguments[name] = {argument.name: i for i, argument in enumerate(arguments)}
    for graph_node in program.graph_nodes():
        names = {graph_node.node.op, *_functions_in(graph_node.node)}
        for name in names & program.arguments.keys():
            program.callers[name].append(graph_node)
    for purpose, roots in _roots(meta_graph):
        _mark_main(program, purpose, roots)
    _mark_functions(program)
    return program


def _by_name(nodes: Iterable[Any], taken: Collection[str] = ()) -> dict[str, Any]:
    by_name: dict[str, Any] = {}
    for node in nodes:
        if node.name in by_name or node.name in taken:
            raise invalid(f"The graph has two nodes with the name {node.name!r}.")
        by_name[node.name] = node
    return by_name


def node_name(reference: str) -> str:
    """The node in a reference such as ``^node``, ``node:0`` or ``node:output:0``.

    >>> node_name("^init"), node_name("read:value:0")
    ('init', 'read')
    """
    return reference.removeprefix("^").partition(":")[0]


def _functions_in(node: Any) -> Iterator[str]:
    """Names of the functions in a node's attributes, nested ones too."""
    values = list(node.attr.values())
    while values:
        value = values.pop()
        functions = [*value.list.func, *([value.func] if value.HasField("func") else [])]
        for function in functions:
            yield function.name
            values.extend(function.attr.values())


def _roots(meta_graph: Any) -> Iterator[tuple[Purpose, list[str]]]:
    for name, signature in meta_graph.signature_def.items():
        purpose = Purpose.INIT if name.startswith("__saved_model") else Purpose.SERVE
        yield purpose, [name for info in signature.outputs.values() for name in _tensors(info)]
    for name in _INIT_COLLECTIONS:
        yield Purpose.INIT, list(meta_graph.collection_def[name].node_list.value)
    yield Purpose.RESTORE, [meta_graph.saver_def.restore_op_name]


def _tensors(info: Any) -> list[str]:
    """The tensors of a ``TensorInfo``; a sparse or composite one has several."""
    composite = [name for part in info.composite_tensor.components for name in _tensors(part)]
    sparse = info.coo_sparse
    parts = (sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    return [name for name in (info.name, *parts, *composite) if name]


def _mark_main(program: Program, purpose: Purpose, roots: Iterable[str]) -> None:
    nodes = program.nodes[MAIN]
    waiting = [node_name(root) for root in roots]
    while waiting:
        name = waiting.pop()
        known = program.main_purposes.get(name, Purpose.NONE)
        if name in nodes and purpose not in known:
            program.main_purposes[name] = known | purpose
            waiting.extend(node_name(reference) for reference in nodes[name].input)


def _mark_functions(program: Program) -> None:
    """Give each function the purposes of its callers, until nothing changes."""
    changed = True
    while changed:
        changed = False
        for name, graph_nodes in program.callers.items():
            purposes = program.function_purposes.get(name, Purpose.NONE)
            for graph_node in graph_nodes:
                purposes |= program.purposes_of(graph_node)
            if purposes != program.function_purposes.get(name, Purpose.NONE):
                program.function_purposes[name] = purposes
                changed = True

"""Refuses a SavedModel with an operation that is not allowed, before anything of it runs.

Loading runs the init operation, and warming up runs every signature, so a version is checked first:
every node and every function of every graph in the file, also of those that this server would not
run. Operations that a SavedModel needs for loading are allowed there and only there.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import DecodeError

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.graph_paths import Fed, asset_files, reads_only_its_own
from serving.engines.modelserver.graph_program import GraphNode, Program, Purpose, program_of
from serving.engines.modelserver.operations import ALLOWED, READING_ASSETS, RESTORING, SAVING
from serving.engines.modelserver.protos import DataType, SavedModelProto

GRAPH = "saved_model.pb"
_MAKE_HANDLES = frozenset({"Const", "ParseTensor", "PlaceholderWithDefault"})
_OTHER_FORMS = ("saved_model.cpb", "saved_model.pbtxt")


def check_graph(folder: Path, *, also_allowed: Collection[str] = ()) -> None:
    """Check the graphs of a version; `also_allowed` adds operations anywhere.

    Raises
    ------
    Refused
        PERMISSION_DENIED for an operation that is not allowed or a path outside the version,
        INVALID_ARGUMENT when the file cannot be read as a SavedModel.
    """
    for name in _OTHER_FORMS:
        if (folder / name).exists():  # the loader would read it in graph_node of the checked file
            raise invalid(f"{name} is a form of SavedModel that is not checked; use {GRAPH}.")
    try:
        saved_model = SavedModelProto.FromString((folder / GRAPH).read_bytes())
    except (OSError, DecodeError) as error:
        raise invalid(f"Can't parse {folder / GRAPH} as a SavedModel: {error}") from error
    for meta_graph in saved_model.meta_graphs:
        _check_meta_graph(meta_graph, frozenset(also_allowed))


def _check_meta_graph(meta_graph: Any, also_allowed: frozenset[str]) -> None:
    for file in asset_files(meta_graph):
        name = PurePosixPath(file.filename)
        if ".." in name.parts or name.is_absolute():
            raise _denied(f"The asset {file.filename} is outside the version's folder.")
    program, fed = program_of(meta_graph), Fed.of(meta_graph)
    for graph_node in program.graph_nodes():
        operation = graph_node.node.op
        if operation in _MAKE_HANDLES and _has_resource(graph_node.node):
            raise _denied(f"{graph_node.text} makes a handle of a resource from bytes.")
        if operation in ALLOWED or operation in also_allowed or operation in program.arguments:
            continue
        if not _is_allowed_there(program, graph_node, fed):
            raise _denied(_reason(operation, graph_node))


def _has_resource(node: Any) -> bool:
    return any(value.type == DataType.DT_RESOURCE for value in node.attr.values())


def _is_allowed_there(program: Program, graph_node: GraphNode, fed: Fed) -> bool:
    operation = graph_node.node.op
    if operation in SAVING:
        return program.purposes_of(graph_node) is Purpose.NONE
    if operation in RESTORING or operation in READING_ASSETS:
        return reads_only_its_own(program, graph_node, fed)
    return False


def _reason(operation: str, graph_node: GraphNode) -> str:
    text = f"The operation {operation} ({graph_node.text}) is not allowed"
    if operation in SAVING:
        return f"{text} in what is loaded and served; only the training program may save."
    if operation in RESTORING or operation in READING_ASSETS:
        return f"{text} here: only loading may read, and only the version's own files."
    return f"{text} in a served model; --allow-op {operation} allows it."


def _denied(message: str) -> Refused:
    return Refused(Code.PERMISSION_DENIED, message)

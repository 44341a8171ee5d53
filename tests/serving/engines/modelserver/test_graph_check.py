"""No graph may reach out of its model, wherever the operation is hidden."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.graph_check import check_graph
from tests.serving.engines.modelserver.graphs import RESOURCE, STRING, Graph


def _harmless() -> Graph:
    """Restores its variables and fills a table from an asset, as Keras writes it."""
    graph = Graph().node("Placeholder", "x").node("Placeholder", "saver_filename")
    graph.node("Placeholder", "asset_path")
    graph.node("VarHandleOp", "path", shared_name=b"path", dtype=STRING)
    graph.node("AssignVariableOp", "path/assign", "path", "asset_path")
    graph.node("ReadVariableOp", "path/read", "path", "^path/assign")
    graph.node("HashTableV2", "table")
    graph.function("fill", ["file"]).node(
        "InitializeTableFromTextFileV2", "read_lines", "table", "file"
    )
    graph.node("StatefulPartitionedCall", "filled", "path/read", f="fill")
    graph.node("NoOp", "init", "^filled").init("init")
    restoring = graph.function("restoring", ["prefix"])
    restoring.node("RestoreV2", "read", "prefix", "names", "slices")
    graph.node("StatefulPartitionedCall", "restored", "saver_filename", f="restoring")
    graph.function("saving", ["prefix"]).node("SaveV2", "write", "prefix")
    graph.node("StatefulPartitionedCall", "saved", "saver_filename", f="saving")
    graph.saver("saver_filename", "restored", "saved:0").asset("asset_path")
    return graph.node("Identity", "y", "x").signature("y:0")


def _refusal(graph: Graph, folder: Path) -> str:
    with pytest.raises(Refused) as refused:
        check_graph(graph.write(folder))
    assert refused.value.code is Code.PERMISSION_DENIED
    return refused.value.message


def test_what_loading_needs_is_allowed(tmp_path: Path) -> None:
    check_graph(_harmless().write(tmp_path))


def _in_signature(graph: Graph, op: str) -> None:
    graph.node(op, "bad").node("Identity", "z", "bad").signature("z:0", "other")


def _beside_everything(graph: Graph, op: str) -> None:
    graph.node(op, "bad")


def _in_init(graph: Graph, op: str) -> None:
    graph.node(op, "bad").node("NoOp", "init2", "^bad").init("init2")


def _in_nested_function(graph: Graph, op: str) -> None:
    graph.function("inner").node(op, "bad")
    graph.function("outer").node("PartitionedCall", "call", f="inner")
    graph.node("PartitionedCall", "call", f="outer").signature("call:0", "other")


def _in_loop_body(graph: Graph, op: str) -> None:
    graph.function("body").node(op, "bad")
    graph.function("cond")
    graph.node("While", "loop", "x", body="body", cond="cond").signature("loop:0", "other")


def _in_branch(graph: Graph, op: str) -> None:
    graph.function("branch").node(op, "bad")
    graph.node("Case", "case", "x", branches=["branch"]).signature("case:0", "other")


def _in_called_function(graph: Graph, op: str) -> None:
    graph.function("custom").node(op, "bad")
    graph.node("custom", "call").signature("call:0", "other")


def _in_unused_function(graph: Graph, op: str) -> None:
    graph.function("unused").node(op, "bad")


def _in_other_graph(graph: Graph, op: str) -> None:
    Graph(graph.saved_model, tag="train").node(op, "bad").signature("bad:0")


PLACES: list[Callable[[Graph, str], None]] = [
    _in_signature,
    _beside_everything,
    _in_init,
    _in_nested_function,
    _in_loop_body,
    _in_branch,
    _in_called_function,
    _in_unused_function,
    _in_other_graph,
]
OPERATIONS = (
    "WriteFile",
    "PyFunc",
    "EagerPyFunc",
    "PyFuncStateless",
    "PrintV2",
    "Print",
    "MatchingFiles",
    "TextLineDataset",
    "TFRecordDatasetV2",
    "OneShotIterator",
    "GeneratorDataset",
    "ReaderReadV2",
    "WholeFileReaderV2",
    "LMDBReader",
    "CreateSummaryFileWriter",
    "DebugIdentityV3",
    "CopyHost",
    "ImmutableConst",
    "DecodeProtoV2",
    "Abort",
    "RemoteCall",
    "FixedUnigramCandidateSampler",
    "GenerateVocabRemapping",
    "LoadAndRemapMatrix",
    "RpcCall",
    "XlaCallModule",
    "QueueDequeueV2",
    "Send",
    "Recv",
    "CollectiveReduceV2",
    "FileSystemSetConfiguration",
    "LoadLibrary",
    "MyCustomOp",
    "SaveDatasetV2",
    "SnapshotDatasetV2",
    "SqlDataset",
    "DumpTensor",
    "MlirPassthroughOp",
    "DataServiceDatasetV4",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("op", OPERATIONS)
def test_an_operation_that_reaches_out_is_refused_by_name(
    tmp_path: Path, op: str, place: Callable[[Graph, str], None]
) -> None:
    graph = _harmless()
    place(graph, op)
    message = _refusal(graph, tmp_path)
    assert f"operation {op} " in message
    assert f"--allow-op {op}" in message


def test_a_flag_adds_an_operation(tmp_path: Path) -> None:
    graph = _harmless().node("MyCustomOp", "z").signature("z:0", "other")
    check_graph(graph.write(tmp_path), also_allowed=["MyCustomOp"])


@pytest.mark.parametrize("op", ["SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints"])
@pytest.mark.parametrize("place", [_in_signature, _in_init, _in_nested_function, _in_loop_body])
def test_only_the_training_program_saves(
    tmp_path: Path, op: str, place: Callable[[Graph, str], None]
) -> None:
    graph = _harmless()
    place(graph, op)
    assert f"operation {op} " in _refusal(graph, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda g: g.node("Const", "c").node("RestoreV2", "r", "c").signature("r:0", "other"),
            id="restore in a signature",
        ),
        pytest.param(
            lambda g: g.node("RestoreV2", "r", "saver_filename").signature("r:0", "other"),
            id="the checkpoint's path as an input",
        ),
        pytest.param(
            lambda g: g.node("Const", "c").node("RestoreV2", "r", "c").saver("c2", "r"),
            id="restore from a constant",
        ),
        pytest.param(
            lambda g: g.node("RestoreV2", "r", "saver_filename").node("NoOp", "i", "^r").init("i"),
            id="restore by the init operation, where no path is fed",
        ),
        pytest.param(
            lambda g: g.node("ReadFile", "r", "asset_path").signature("r:0", "other"),
            id="an asset in a signature, where no path is fed",
        ),
        pytest.param(
            lambda g: g.node("ReadFile", "r", "x").node("NoOp", "i", "^r").init("i"),
            id="a file that a request names",
        ),
        pytest.param(
            lambda g: g.node("StringJoin", "c", "asset_path", "x").node("ReadFile", "r", "c")
            .node("NoOp", "i", "^r").init("i"),
            id="a path that is built from an asset's",
        ),
        pytest.param(
            lambda g: g.node("Const", "c").node("StatefulPartitionedCall", "again", "c", f="fill")
            .node("NoOp", "i", "^again").init("i"),
            id="a second call with another path",
        ),
        pytest.param(
            lambda g: g.node("Const", "c").node("AssignVariableOp", "a", "path", "c"),
            id="a second assignment to the path",
        ),
        pytest.param(
            lambda g: g.node("VarHandleOp", "alias", shared_name=b"path").node("Const", "c")
            .node("AssignVariableOp", "a", "alias", "c"),
            id="the path's variable under another name",
        ),
        pytest.param(
            lambda g: g.function("f").node("VarHandleOp", "path"),
            id="the path's variable in a function",
        ),
        pytest.param(
            lambda g: g.node("Identity", "handle", "path"),
            id="the path's variable handed on",
        ),
        pytest.param(
            lambda g: g.node("Const", "handle", dtype=RESOURCE),
            id="a resource from bytes",
        ),
        pytest.param(
            lambda g: g.function("f").node("ParseTensor", "handle", out_type=RESOURCE),
            id="a resource from bytes in a function",
        ),
        pytest.param(
            lambda g: g.node("Identity", "i1", "i2").node("Identity", "i2", "i1")
            .node("ReadFile", "r", "i1").node("NoOp", "i", "^r").init("i"),
            id="a loop",
        ),
        pytest.param(
            lambda g: g.node("ReadFile", "r").node("NoOp", "i", "^r").init("i"),
            id="no path at all",
        ),
        pytest.param(lambda g: g.asset("other", "../../secret.txt"), id="an asset outside"),
        pytest.param(lambda g: g.asset("other", "/etc/passwd"), id="an asset elsewhere"),
    ],
)  # fmt: skip
def test_only_loading_reads_and_only_the_models_own_files(
    tmp_path: Path, change: Callable[[Graph], object]
) -> None:
    graph = _harmless()
    change(graph)
    _refusal(graph, tmp_path)


def _two_nodes(graph: Graph) -> None:
    graph.node("WriteFile", "twice").node("NoOp", "twice")


def _two_nodes_of_a_function(graph: Graph) -> None:
    graph.function("f").node("WriteFile", "twice").node("NoOp", "twice")


def _a_node_and_an_argument(graph: Graph) -> None:
    graph.function("f", ["twice"]).node("NoOp", "twice")


def _two_functions(graph: Graph) -> None:
    graph.function("f").node("WriteFile", "bad")
    graph.function("f").node("NoOp", "good")


def _function_without_a_name(graph: Graph) -> None:
    graph.node("WriteFile", "bad").function("").node("NoOp", "good")


@pytest.mark.parametrize(
    "change",
    [
        _two_nodes,
        _two_nodes_of_a_function,
        _a_node_and_an_argument,
        _two_functions,
        _function_without_a_name,
    ],
)
def test_a_name_that_stands_twice_hides_nothing(
    tmp_path: Path, change: Callable[[Graph], None]
) -> None:
    graph = _harmless()
    change(graph)
    with pytest.raises(Refused, match="The graph has two"):
        check_graph(graph.write(tmp_path))


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 100])
def test_a_file_that_is_no_saved_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    if not content:
        check_graph(tmp_path)  # an empty message; the loader refuses it
        return
    with pytest.raises(Refused, match="Can't parse") as refused:
        check_graph(tmp_path)
    assert refused.value.code is Code.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["saved_model.cpb", "saved_model.pbtxt"])
def test_a_second_form_cannot_hide_behind_the_checked_one(tmp_path: Path, name: str) -> None:
    _harmless().write(tmp_path)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(Refused, match="is not checked"):
        check_graph(tmp_path)

"""Small SavedModels without TensorFlow: a number plus a constant that tells model and version."""

from __future__ import annotations

from pathlib import Path

from serving.engines.modelserver.protos import DataType
from tests.serving.engines.modelserver.graphs import Graph


def write_adder(folder: Path, constant: float) -> Path:
    """A model whose answer to x is x + `constant`; returns the folder."""
    graph = Graph()
    graph.node("Placeholder", "x", dtype=DataType.DT_FLOAT)
    graph.node("Const", "c", dtype=DataType.DT_FLOAT)
    graph.node("AddV2", "y", "x", "c", T=DataType.DT_FLOAT)
    nodes = {node.name: node for node in graph.meta.graph_def.node}
    nodes["x"].attr["shape"].shape.dim.add(size=-1)
    value = nodes["c"].attr["value"].tensor
    value.dtype = DataType.DT_FLOAT
    value.tensor_shape.SetInParent()
    value.float_val.append(constant)
    signature = graph.meta.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    for name, info in (("x", signature.inputs["x"]), ("y", signature.outputs["y"])):
        info.name, info.dtype = f"{name}:0", DataType.DT_FLOAT
        info.tensor_shape.dim.add(size=-1)
    return graph.write(folder)

"""Builds SavedModels node by node, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.engines.modelserver.protos import DataType, SavedModelProto

STRING, RESOURCE, FLOAT = DataType.DT_STRING, DataType.DT_RESOURCE, DataType.DT_FLOAT


class Graph:
    """One ``MetaGraphDef``; `write` puts the SavedModel into a folder."""

    def __init__(self, saved_model: Any = None, tag: str = "serve") -> None:
        self.saved_model = saved_model or SavedModelProto(saved_model_schema_version=1)
        self.meta = self.saved_model.meta_graphs.add()
        self.meta.meta_info_def.tags.append(tag)

    def node(self, op: str, name: str, *inputs: str, **attributes: Any) -> Graph:
        """Add a node outside functions."""
        _fill(self.meta.graph_def.node.add(), op, name, inputs, attributes)
        return self

    def function(self, name: str, arguments: Sequence[str] = ()) -> Function:
        """Add an empty function."""
        definition = self.meta.graph_def.library.function.add()
        definition.signature.name = name
        for argument in arguments:
            definition.signature.input_arg.add(name=argument, type=STRING)
        return Function(definition)

    def signature(self, output: str, name: str = "serving_default") -> Graph:
        """Add a signature with one output."""
        self.meta.signature_def[name].outputs["y"].name = output
        return self

    def init(self, node: str) -> Graph:
        """Set the init operation."""
        signature = self.meta.signature_def["__saved_model_init_op"]
        signature.outputs["__saved_model_init_op"].name = node
        return self

    def saver(self, filename: str, restore: str, save: str = "") -> Graph:
        """Set the checkpoint's nodes."""
        saver = self.meta.saver_def
        saver.filename_tensor_name, saver.restore_op_name = f"{filename}:0", restore
        saver.save_tensor_name = save
        return self

    def asset(self, node: str, file: str = "words.txt") -> Graph:
        """Name the node that gets the path of an asset."""
        self.meta.asset_file_def.add(filename=file).tensor_info.name = f"{node}:0"
        return self

    def write(self, folder: Path) -> Path:
        """Write ``saved_model.pb``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "saved_model.pb").write_bytes(self.saved_model.SerializeToString())
        return folder


class Function:
    """A function of a graph."""

    def __init__(self, definition: Any) -> None:
        self._definition = definition

    def node(self, op: str, name: str, *inputs: str, **attributes: Any) -> Function:
        """Add a node."""
        _fill(self._definition.node_def.add(), op, name, inputs, attributes)
        return self


def _fill(node: Any, op: str, name: str, inputs: Sequence[str], attributes: Any) -> None:
    node.op, node.name = op, name
    node.input.extend(inputs)
    for key, value in attributes.items():
        attribute = node.attr[key]
        if isinstance(value, bytes):
            attribute.s = value
        elif isinstance(value, int):
            attribute.type = value
        elif isinstance(value, list):
            for function in value:
                attribute.list.func.add(name=function)
        else:
            attribute.func.name = value

"""One SavedModel: loads it with the C++ loader that TF Serving uses, and runs it.

Each session computes in the calling thread, with one intra-op and one inter-op thread. This is the
fastest setting for small models, and the arms of a canary do not disturb each other.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from serving.engines.modelserver.codes import Refused, invalid
from serving.engines.modelserver.library import Output, Status, library
from serving.engines.modelserver.protos import MetaGraphDef, SignatureDef
from serving.engines.modelserver.tensors import NAMES, code_of, free, from_tensor, to_tensor

DEFAULT_SIGNATURE = "serving_default"

# ConfigProto{intra_op_parallelism_threads: 1, inter_op_parallelism_threads: 1}
_CONFIG = b"\x10\x01\x28\x01"
# RunOptions{inter_op_thread_pool: -1}: run in the caller's thread
_RUN_OPTIONS = b"\x18" + b"\xff" * 9 + b"\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output. `shape` is None for an unknown rank; an unknown size is -1."""

    name: str
    code: int
    shape: tuple[int, ...] | None


class Signature:
    """One signature of the model, with its operations looked up once."""

    def __init__(self, name: str, definition: Any, graph: int) -> None:
        self.name = name
        self.method: str = definition.method_name
        self.inputs = {k: _spec(v) for k, v in sorted(definition.inputs.items())}
        self.outputs = {k: _spec(v) for k, v in sorted(definition.outputs.items())}
        self._graph = graph
        self.feeds = (Output * len(self.inputs))(*map(self._output, self.inputs.values()))
        self._fetches = {k: self._output(v) for k, v in self.outputs.items()}

    def _output(self, spec: TensorSpec) -> Output:
        operation, _, index = spec.name.partition(":")
        pointer = library().TF_GraphOperationByName(self._graph, operation.encode())
        if not pointer:
            raise invalid(f"Tensor {spec.name}, specified in a signature, is not in the graph.")
        return Output(pointer, int(index or 0))

    def fetches(self, names: Sequence[str]) -> Any:
        """The C array of the outputs with these names."""
        return (Output * len(names))(*(self._fetches[name] for name in names))


class SavedModel:
    """A loaded model; `close` frees it.

    Parameters
    ----------
    path:
        Folder with ``saved_model.pb``.

    Raises
    ------
    Refused
        With TensorFlow's code and text when loading fails.
    """

    def __init__(self, path: Path) -> None:
        lib = library()
        self.path = path
        self._graph = lib.TF_NewGraph()
        self._run_options = lib.TF_NewBufferFromString(_RUN_OPTIONS, len(_RUN_OPTIONS))
        try:
            self._session, definition = _load(path, self._graph)
        except Refused:
            lib.TF_DeleteGraph(self._graph)
            lib.TF_DeleteBuffer(self._run_options)
            raise
        self.definitions: dict[str, SignatureDef] = dict(definition.signature_def.items())
        self.signatures = {
            name: Signature(name, signature, self._graph)
            for name, signature in self.definitions.items()
            if not name.startswith("__")
        }

    def run(
        self, signature: Signature, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        """Compute `outputs` from `inputs`, one array for each of the signature's inputs."""
        lib = library()
        arrays = [_check_type(name, spec, inputs[name]) for name, spec in signature.inputs.items()]
        results = (c.c_void_p * len(outputs))()
        tensors: list[int] = []
        try:
            tensors.extend(to_tensor(array) for array in arrays)
            with Status() as status:
                lib.TF_SessionRun(
                    self._session,
                    self._run_options,
                    signature.feeds,
                    (c.c_void_p * len(tensors))(*tensors),
                    len(tensors),
                    signature.fetches(outputs),
                    results,
                    len(outputs),
                    None,
                    0,
                    None,
                    status.pointer,
                )
                status.check()
            return {name: from_tensor(results[i] or 0) for i, name in enumerate(outputs)}
        finally:
            for result in results:
                if result:
                    lib.TF_DeleteTensor(result)
            for tensor, array in zip(tensors, arrays, strict=False):
                free(tensor, array)

    def close(self) -> None:
        """Free the session; no thread may be running it."""
        lib = library()
        with Status() as status:
            lib.TF_CloseSession(self._session, status.pointer)
        with Status() as status:
            lib.TF_DeleteSession(self._session, status.pointer)
        lib.TF_DeleteGraph(self._graph)
        lib.TF_DeleteBuffer(self._run_options)


def _load(path: Path, graph: int) -> tuple[int, Any]:
    lib = library()
    options = lib.TF_NewSessionOptions()
    meta_graph = lib.TF_NewBuffer()
    try:
        with Status() as status:
            lib.TF_SetConfig(options, _CONFIG, len(_CONFIG), status.pointer)
            status.check()
            tags = (c.c_char_p * 1)(b"serve")
            session = lib.TF_LoadSessionFromSavedModel(
                options, None, str(path).encode(), tags, 1, graph, meta_graph, status.pointer
            )
            status.check()
        content = c.string_at(meta_graph.contents.data, meta_graph.contents.length)
        return session, MetaGraphDef.FromString(content)
    finally:
        lib.TF_DeleteBuffer(meta_graph)
        lib.TF_DeleteSessionOptions(options)


def _spec(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
    return TensorSpec(name=info.name, code=info.dtype, shape=sizes)


def _check_type(name: str, spec: TensorSpec, array: NDArray[Any]) -> NDArray[Any]:
    """Refuse a wrong type here, because the session's own message names internal graph nodes."""
    code = code_of(array)
    if code != spec.code:
        expected, given = NAMES.get(spec.code, spec.code), NAMES.get(code, code)
        raise invalid(f"Input {name} is expected to be {expected} but {given} is provided.")
    return array

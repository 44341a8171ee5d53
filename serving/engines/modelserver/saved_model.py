"""One SavedModel: loads it with the C++ loader that TF Serving uses, and runs it.

Each session computes in the calling thread, with one intra-op and one inter-op thread. This is the
fastest setting for small models, and the arms of a canary do not disturb each other.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from serving.engines.modelserver.codes import invalid
from serving.engines.modelserver.library import Output, Status, library
from serving.engines.modelserver.priority import at_normal_priority, in_background, run
from serving.engines.modelserver.protos import MetaGraphDef, SignatureDef
from serving.engines.modelserver.tensors import free, from_tensor, to_tensor

DEFAULT_SIGNATURE = "serving_default"

# ConfigProto{intra_op_parallelism_threads: 1, inter_op_parallelism_threads: 1,
#   graph_options{rewrite_options{meta_optimizer_iterations: ONE}}}
# A second pass of the optimiser takes a fifth of the loading time, and runs are no faster for it.
_CONFIG = b"\x10\x01\x28\x01\x52\x04\x52\x02\x60\x01"
# RunOptions{inter_op_thread_pool: -1}: run in the caller's thread
_RUN_OPTIONS = b"\x18" + b"\xff" * 9 + b"\x01"

_MAX_PLACES = 256

LOAD_SECONDS = 60.0
"""Longest time that restoring and initialising a version may take, each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output. `shape` is None for an unknown rank; an unknown size is -1."""

    name: str
    code: int
    shape: tuple[int, ...] | None
    output: Output = field(default_factory=Output, compare=False)
    """Its place in the graph of a loaded model."""


class Signature:
    """One signature of the model, with its tensors looked up once."""

    def __init__(self, name: str, definition: Any, graph: int) -> None:
        self.name = name
        self.definition = definition
        self.method: str = definition.method_name
        self.inputs = {k: _spec(v, graph) for k, v in sorted(definition.inputs.items())}
        self.outputs = {k: _spec(v, graph) for k, v in sorted(definition.outputs.items())}


class SavedModel:
    """A loaded model; `close` frees it.

    Parameters
    ----------
    path:
        Folder with ``saved_model.pb``.
    name:
        The model's name in requests and metrics.

    Raises
    ------
    Refused
        With TensorFlow's code and text when loading fails.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        lib = library()
        self.path, self.name = path, name
        self._graph = lib.TF_NewGraph()
        self._run_options = lib.TF_NewBufferFromString(_RUN_OPTIONS, len(_RUN_OPTIONS))
        try:
            self._session, definition = _load(path, self._graph)
        except BaseException:
            lib.TF_DeleteGraph(self._graph)
            lib.TF_DeleteBuffer(self._run_options)
            raise
        self._known_places: dict[tuple[str, ...], Any] = {}
        self.definitions: dict[str, SignatureDef] = dict(definition.signature_def.items())
        try:
            self.signatures = {
                name: Signature(name, signature, self._graph)
                for name, signature in self.definitions.items()
                if not name.startswith("__")
            }
        except BaseException:
            self.close()
            raise

    def compute(
        self, feeds: Sequence[tuple[TensorSpec, NDArray[Any]]], fetches: Sequence[TensorSpec]
    ) -> list[NDArray[Any]]:
        """Compute tensors from others; a long run may get a low priority (`priority`).

        Raises
        ------
        Refused
            With TensorFlow's code and text.
        """
        lib = library()
        results = (c.c_void_p * len(fetches))()
        tensors: list[int] = []
        try:
            for _, array in feeds:
                tensors.append(to_tensor(array))
            with Status() as status:
                arguments = (
                    self._session,
                    self._run_options,
                    self._places([spec for spec, _ in feeds]),
                    (c.c_void_p * len(tensors))(*tensors),
                    len(tensors),
                    self._places(fetches),
                    results,
                    len(fetches),
                    None,
                    0,
                    None,
                    status.pointer,
                )
                run(lib.TF_SessionRun, *arguments)
                status.check()
            return at_normal_priority(_arrays, results)
        finally:
            for result in results:
                if result:
                    lib.TF_DeleteTensor(result)
            for tensor, (_, array) in zip(tensors, feeds, strict=False):
                free(tensor, array)

    def _places(self, specs: Sequence[TensorSpec]) -> Any:
        """The places of tensors in the graph; a client may ask for any of many combinations."""
        names = tuple([spec.name for spec in specs])
        places = self._known_places.get(names)
        if places is None:
            places = (Output * len(specs))(*(spec.output for spec in specs))
            if len(self._known_places) < _MAX_PLACES:
                self._known_places[names] = places
        return places

    def run(
        self, signature: Signature, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        """Compute outputs of a signature from one array for each of its inputs."""
        feeds = [(spec, inputs[name]) for name, spec in signature.inputs.items()]
        values = self.compute(feeds, [signature.outputs[name] for name in outputs])
        return dict(zip(outputs, values, strict=True))

    def cancel(self) -> None:
        """End every run of the session, which cannot run again."""
        with Status() as status:
            library().TF_CloseSession(self._session, status.pointer)

    def close(self) -> None:
        """Free the session, beside versions that answer at a low priority; no thread may be running
        it."""
        self.cancel()
        in_background(self._free)

    def _free(self) -> None:
        lib = library()
        with Status() as status:
            lib.TF_DeleteSession(self._session, status.pointer)
        lib.TF_DeleteGraph(self._graph)
        lib.TF_DeleteBuffer(self._run_options)


def _arrays(results: Sequence[int | None]) -> list[NDArray[Any]]:
    return [from_tensor(result or 0) for result in results]


def _load(path: Path, graph: int) -> tuple[int, Any]:
    lib = library()
    options = lib.TF_NewSessionOptions()
    run_options = lib.TF_NewBufferFromString(content := _load_options(), len(content))
    meta_graph = lib.TF_NewBuffer()
    try:
        with Status() as status:
            lib.TF_SetConfig(options, _CONFIG, len(_CONFIG), status.pointer)
            status.check()
            tags = (c.c_char_p * 1)(b"serve")
            folder = str(path).encode()
            session = in_background(
                lib.TF_LoadSessionFromSavedModel,
                *(options, run_options, folder, tags, 1, graph, meta_graph, status.pointer),
            )
            status.check()
        content = c.string_at(meta_graph.contents.data, meta_graph.contents.length)
        return session, MetaGraphDef.FromString(content)
    finally:
        lib.TF_DeleteBuffer(meta_graph)
        lib.TF_DeleteSessionOptions(options)
        lib.TF_DeleteBuffer(run_options)


def _load_options() -> bytes:
    """``RunOptions{timeout_in_ms}``."""
    milliseconds, content = round(LOAD_SECONDS * 1000), b"\x10"
    while milliseconds >= 0x80:
        content += bytes([milliseconds & 0x7F | 0x80])
        milliseconds >>= 7
    return content + bytes([milliseconds])


def _spec(info: Any, graph: int) -> TensorSpec:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
    output = _output(info.name, graph)
    return TensorSpec(name=info.name, code=info.dtype, shape=sizes, output=output)


def _output(name: str, graph: int) -> Output:
    operation, _, index = name.partition(":")
    pointer = library().TF_GraphOperationByName(graph, operation.encode())
    if not pointer:
        raise invalid(f"Tensor {name}, specified in a signature, is not in the graph.")
    return Output(pointer, int(index or 0))

"""TensorFlow's C library, opened with ctypes.

The library is part of the tensorflow wheel. It is opened with RTLD_LOCAL, because with global
symbols a later import of numpy.random crashes. Long calls release the interpreter's lock, so
sessions run in parallel. Source of the prototypes: ``tensorflow/c/c_api.h``.
"""

from __future__ import annotations

import ctypes as c
import functools
import importlib.util
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from serving.engines.modelserver.codes import Code, Refused
from streaming.contracts.errors import ConfigurationError


class Buffer(c.Structure):
    """``TF_Buffer``: bytes passed between Python and the library."""

    _fields_ = (
        ("data", c.c_void_p),
        ("length", c.c_size_t),
        ("deallocator", c.c_void_p),
    )


class Output(c.Structure):
    """``TF_Output``: one output of one operation."""

    _fields_ = (("operation", c.c_void_p), ("index", c.c_int))


_pointer, _size, _int, _text = c.c_void_p, c.c_size_t, c.c_int, c.c_char_p
_buffer = c.POINTER(Buffer)
_arrays = (c.POINTER(Output), c.POINTER(_pointer), _int)  # outputs, their tensors, their number

_PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "TF_NewStatus": (_pointer, []),
    "TF_DeleteStatus": (None, [_pointer]),
    "TF_GetCode": (_int, [_pointer]),
    "TF_Message": (_text, [_pointer]),
    "TF_NewBuffer": (_buffer, []),
    "TF_NewBufferFromString": (_buffer, [_text, _size]),
    "TF_DeleteBuffer": (None, [_buffer]),
    "TF_NewGraph": (_pointer, []),
    "TF_DeleteGraph": (None, [_pointer]),
    "TF_GraphOperationByName": (_pointer, [_pointer, _text]),
    "TF_NewSessionOptions": (_pointer, []),
    "TF_DeleteSessionOptions": (None, [_pointer]),
    "TF_SetConfig": (None, [_pointer, _text, _size, _pointer]),
    "TF_LoadSessionFromSavedModel": (
        _pointer,
        [_pointer, _buffer, _text, c.POINTER(_text), _int, _pointer, _buffer, _pointer],
    ),
    "TF_CloseSession": (None, [_pointer, _pointer]),
    "TF_DeleteSession": (None, [_pointer, _pointer]),
    "TF_SessionRun": (
        None,
        [_pointer, _buffer, *_arrays, *_arrays, _pointer, _int, _buffer, _pointer],
    ),
    "TF_AllocateTensor": (_pointer, [_int, c.POINTER(c.c_int64), _int, _size]),
    "TF_DeleteTensor": (None, [_pointer]),
    "TF_TensorType": (_int, [_pointer]),
    "TF_NumDims": (_int, [_pointer]),
    "TF_Dim": (c.c_int64, [_pointer, _int]),
    "TF_TensorByteSize": (_size, [_pointer]),
    "TF_TensorData": (_pointer, [_pointer]),
    "TF_StringInit": (None, [_pointer]),
    "TF_StringCopy": (None, [_pointer, _text, _size]),
    "TF_StringGetDataPointer": (_pointer, [_pointer]),
    "TF_StringGetSize": (_size, [_pointer]),
    "TF_StringDealloc": (None, [_pointer]),
}


def _path() -> Path:
    """The path of the library in the wheel."""
    spec = importlib.util.find_spec("tensorflow")
    folders = [] if spec is None else (spec.submodule_search_locations or [])
    for folder in folders:
        path = Path(folder) / "libtensorflow_cc.so.2"
        if path.exists():
            return path
    raise ConfigurationError(
        "libtensorflow_cc.so.2 was not found in the package tensorflow; "
        "install the tensorflow wheel for Linux (make setup)."
    )


_LONG = {
    "TF_LoadSessionFromSavedModel",
    "TF_CloseSession",
    "TF_DeleteSession",
    "TF_SessionRun",
    "TF_DeleteGraph",
}
"""The calls that release the interpreter's lock. All others take less time than that does."""


@functools.cache
def library() -> Any:
    """The library with its prototypes; opened once per process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    path, mode = str(_path()), os.RTLD_LOCAL | os.RTLD_NOW
    releasing, keeping = c.CDLL(path, mode=mode), c.PyDLL(path, mode=mode)
    functions = {}
    for name, (result, arguments) in _PROTOTYPES.items():
        functions[name] = function = getattr(releasing if name in _LONG else keeping, name)
        function.restype, function.argtypes = result, arguments
    return SimpleNamespace(**functions)


class Status:
    """``TF_Status`` as a context manager; `check` raises `Refused` with code and text."""

    __slots__ = ("pointer",)

    def __enter__(self) -> Status:
        self.pointer = library().TF_NewStatus()
        return self

    def check(self) -> None:
        """Raise if the previous call failed."""
        code = library().TF_GetCode(self.pointer)
        if code:
            message = library().TF_Message(self.pointer).decode("utf-8", "replace")
            raise Refused(Code(code) if code in set(Code) else Code.UNKNOWN, message)

    def __exit__(self, *_: object) -> None:
        library().TF_DeleteStatus(self.pointer)

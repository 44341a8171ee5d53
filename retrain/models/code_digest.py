"""A digest of the code that decides a model's columns and its net.

While it is unchanged, the transform graph and the weights of an earlier version fit: a retrain may
take them over instead of computing them again.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import msgspec

from retrain.models.code import ModelCode
from streaming.contracts.errors import ConfigurationError

_LIBRARIES = ("tensorflow", "tensorflow-transform", "keras")
"""Libraries whose releases change graphs and the names of weights."""


def code_digest(code: ModelCode) -> str:
    """SHA-256 of a model's sources, its contract, the platform's helpers and the libraries.

    The sources are every ``.py`` file in the packages of `preprocessing_fn` and `build_model` (or
    `run_fn`). Nothing of the model is imported, except the packages that contain it.

    Raises
    ------
    ConfigurationError
        When one of the functions is in no module that can be found.
    """
    digest = hashlib.sha256()
    contract = (code.features, code.label, code.label_columns, code.task)
    digest.update(msgspec.json.encode(contract))
    for path in (code.preprocessing_fn, code.build_model, code.run_fn):
        digest.update(f"\0{path}\0".encode())
        for name, source in _sources(path) if path else ():
            digest.update(f"{name}\0".encode())
            digest.update(source)
    digest.update(_platform())
    return digest.hexdigest()


def _sources(path: str) -> list[tuple[str, bytes]]:
    """Name and content of the sources in the package of a function, sorted by name."""
    module = path.rpartition(".")[0]
    try:
        spec = find_spec(module)
    except (ImportError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be found: {error}.") from error
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"{path} cannot be found: there is no module {module}.")
    file = Path(spec.origin)
    files = sorted(file.parent.rglob("*.py")) if "." in module else [file]
    return [(each.relative_to(file.parent).as_posix(), each.read_bytes()) for each in files]


@cache
def _platform() -> bytes:
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(f"{file.name}\0".encode())
        digest.update(file.read_bytes())
    for library in _LIBRARIES:
        try:
            digest.update(f"{library} {version(library)}\0".encode())
        except PackageNotFoundError:
            continue
    return digest.digest()

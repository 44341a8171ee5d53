"""The part that REST and gRPC share: find the model, run it, count the request."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.faults import Faults, inject_error
from serving.engines.modelserver.metrics import Metrics
from serving.engines.modelserver.rows import names_of
from serving.engines.modelserver.saved_model import DEFAULT_SIGNATURE, SavedModel, Signature
from serving.engines.modelserver.versions import Versions
from serving.engines.modelserver.warmup import warm_up

Arrays = dict[str, NDArray[Any]]


class Address(NamedTuple):
    """The requested model: a version, a label, or the newest version."""

    name: str
    version: int | None = None
    label: str = ""


class Service:
    """One model with its versions, metrics and injected faults."""

    def __init__(
        self, name: str, base_path: Path, *, faults: Faults, poll_seconds: float = 1.0
    ) -> None:
        self.name = name
        self.faults = faults
        self.metrics = Metrics()
        self.versions = Versions(name, base_path, self._load, poll_seconds=poll_seconds)

    @contextmanager
    def hold(self, address: Address) -> Iterator[tuple[int, SavedModel]]:
        """The model at an address; it stays loaded until the block ends.

        Raises
        ------
        Refused
            NOT_FOUND or INVALID_ARGUMENT with TF Serving's text.
        """
        self.check_name(address.name)
        with self.versions.hold(address.version, address.label) as version_and_model:
            yield version_and_model

    def check_name(self, name: str) -> None:
        """Refuse requests for another model.

        Raises
        ------
        Refused
            INVALID_ARGUMENT without a name, NOT_FOUND for another one.
        """
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if name != self.name:
            raise Refused(Code.NOT_FOUND, f"Servable not found for request: Latest({name})")

    def run(
        self, model: SavedModel, signature: Signature, inputs: Arrays, output_names: Sequence[str]
    ) -> Arrays:
        """Run a signature on inputs and measure it; no `output_names` means every output.

        Raises
        ------
        Refused
            When names or types do not match the signature, or TensorFlow refuses.
        """
        _check_inputs(signature, inputs)
        inject_error(self.faults.now())
        outputs = list(output_names) or list(signature.outputs)
        started = time.perf_counter_ns()
        result = model.run(signature, inputs, outputs)
        elapsed = (time.perf_counter_ns() - started) / 1000
        self.metrics.runtime_latency.observe((self.name, "Predict", "TF1"), elapsed)
        return result

    def count_request(self, *, started_ns: int, api: str, entrypoint: str, code: Code) -> None:
        """Count one request; only successful ones have a latency, as in TF Serving."""
        self.metrics.request_count.add((self.name, code.name))
        if code is Code.OK:
            elapsed = (time.perf_counter_ns() - started_ns) / 1000
            self.metrics.request_latency.observe((self.name, api, entrypoint), elapsed)

    def _load(self, path: Path) -> SavedModel:
        started = time.perf_counter()
        try:
            delay = self.faults.now().load_ms
            if delay > 0:
                time.sleep(delay / 1000)
            model = SavedModel(path)
        except Refused:
            self.metrics.load_attempts.add((str(path), "fail"))
            raise
        self.metrics.load_attempts.add((str(path), "success"))
        self.metrics.load_latency.add((str(path),), (time.perf_counter() - started) * 1e6)
        self._warm(model)
        return model

    def _warm(self, model: SavedModel) -> None:
        started, status = time.perf_counter(), Code.OK
        try:
            warm_up(model)
        except Refused as refused:
            status = refused.code
            model.close()
            raise
        finally:
            elapsed = (time.perf_counter() - started) * 1e6
            self.metrics.warmup_latency.observe((str(model.path), status.name), elapsed)


def find_signature(model: SavedModel, name: str, *, rest: bool) -> Signature:
    """The signature with this name; the default signature without a name.

    Raises
    ------
    Refused
        With the code and text of TF Serving's REST or gRPC API.
    """
    key = name or DEFAULT_SIGNATURE
    signature = model.signatures.get(key)
    if signature is not None:
        return signature
    if rest:
        raise invalid(f'Serving signature name: "{key}" not found in signature def')
    raise Refused(Code.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.')


def check_filter(signature: Signature, output_names: Sequence[str]) -> None:
    """Refuse output names that the signature does not have, and duplicates.

    Raises
    ------
    Refused
        INVALID_ARGUMENT.
    """
    for position, name in enumerate(output_names):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be "
                f"in the set {names_of(list(signature.outputs))}."
            )
        if name in output_names[:position]:
            raise invalid(f"duplicate output tensor alias: {name}")


def _check_inputs(signature: Signature, inputs: Mapping[str, Any]) -> None:
    if inputs.keys() == signature.inputs.keys():
        return
    extra = inputs.keys() - signature.inputs.keys()
    missing = signature.inputs.keys() - inputs.keys()
    raise invalid(
        f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} "
        f"len({names_of(list(inputs))}) != len({names_of(list(signature.inputs))}). "
        f"Sent extra: {names_of(list(extra))}. Missing but required: {names_of(list(missing))}."
    )

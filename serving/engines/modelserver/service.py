"""What REST and gRPC have in common: find the model, run it, count it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.faults import Faults, refuse_some
from serving.engines.modelserver.metrics import Metrics
from serving.engines.modelserver.rows import names_of
from serving.engines.modelserver.saved_model import DEFAULT_SIGNATURE, SavedModel, Signature
from serving.engines.modelserver.versions import Versions
from serving.engines.modelserver.warmup import warm_up

Arrays = dict[str, NDArray[Any]]


class Address(NamedTuple):
    """Which model is asked: a version, a label, or the newest."""

    name: str
    version: int | None = None
    label: str = ""


class Service:
    """One model, its versions, its metrics, its faults."""

    def __init__(
        self, name: str, base_path: Path, *, faults: Faults, poll_seconds: float = 1.0
    ) -> None:
        self.name = name
        self.faults = faults
        self.metrics = Metrics()
        self.versions = Versions(name, base_path, self._load, poll_seconds=poll_seconds)

    @contextmanager
    def hold(self, address: Address) -> Iterator[tuple[int, SavedModel]]:
        """The model at an address, kept loaded until the block ends.

        Raises
        ------
        Refused
            NOT_FOUND or INVALID_ARGUMENT with TF Serving's text.
        """
        self.check_name(address.name)
        with self.versions.hold(address.version, address.label) as held:
            yield held

    def check_name(self, name: str) -> None:
        """Refuse other models than ours.

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
        self, model: SavedModel, signature: Signature, inputs: Arrays, wanted: Sequence[str]
    ) -> Arrays:
        """Run a signature on inputs and measure it; `wanted` empty means every output.

        Raises
        ------
        Refused
            When names or types do not fit the signature, or TensorFlow says no.
        """
        _check_inputs(signature, inputs)
        refuse_some(self.faults.now())
        outputs = list(wanted) or list(signature.outputs)
        began = time.perf_counter_ns()
        result = model.run(signature, inputs, outputs)
        spent = (time.perf_counter_ns() - began) / 1000
        self.metrics.runtime_latency.observe((self.name, "Predict", "TF1"), spent)
        return result

    def finished(self, *, began_ns: int, api: str, entrypoint: str, code: Code) -> None:
        """Count one request; only answered ones have a latency, as in TF Serving."""
        self.metrics.request_count.add((self.name, code.name))
        if code is Code.OK:
            spent = (time.perf_counter_ns() - began_ns) / 1000
            self.metrics.request_latency.observe((self.name, api, entrypoint), spent)

    def _load(self, path: Path) -> SavedModel:
        began = time.perf_counter()
        try:
            delay = self.faults.now().load_ms
            if delay > 0:
                time.sleep(delay / 1000)
            model = SavedModel(path)
        except Refused:
            self.metrics.load_attempts.add((str(path), "fail"))
            raise
        self.metrics.load_attempts.add((str(path), "success"))
        self.metrics.load_latency.add((str(path),), (time.perf_counter() - began) * 1e6)
        self._warm(model)
        return model

    def _warm(self, model: SavedModel) -> None:
        began, status = time.perf_counter(), Code.OK
        try:
            warm_up(model)
        except Refused as refused:
            status = refused.code
            model.close()
            raise
        finally:
            spent = (time.perf_counter() - began) * 1e6
            self.metrics.warmup_latency.observe((str(model.path), status.name), spent)


def signature_of(model: SavedModel, name: str, *, rest: bool) -> Signature:
    """The signature of that name, the default one without a name.

    Raises
    ------
    Refused
        With the code and text of TF Serving's REST or gRPC front.
    """
    wanted = name or DEFAULT_SIGNATURE
    found = model.signatures.get(wanted)
    if found is not None:
        return found
    if rest:
        raise invalid(f'Serving signature name: "{wanted}" not found in signature def')
    raise Refused(Code.FAILED_PRECONDITION, f'Serving signature key "{wanted}" not found.')


def check_filter(signature: Signature, wanted: Sequence[str]) -> None:
    """Refuse outputs that the signature does not have, and doubles.

    Raises
    ------
    Refused
        INVALID_ARGUMENT.
    """
    for position, name in enumerate(wanted):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be "
                f"in the set {names_of(list(signature.outputs))}."
            )
        if name in wanted[:position]:
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

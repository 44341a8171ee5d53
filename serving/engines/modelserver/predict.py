"""Predictions of one loaded model, for REST, gRPC and the warm-up.

Source: ``servables/tensorflow/predict_util.cc`` of TF Serving and ``GetInputValues`` of
``cc/saved_model/util.cc`` of TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.saved_model import (
    DEFAULT_SIGNATURE,
    SavedModel,
    Signature,
    TensorSpec,
)
from serving.engines.modelserver.tensor_proto import decode_inputs

Arrays = dict[str, NDArray[Any]]
Feeds = Sequence[tuple[TensorSpec, NDArray[Any]]]
Compute = Callable[[SavedModel, str, Feeds, Sequence[TensorSpec]], list[NDArray[Any]]]
"""Computes tensors for one API: Predict, Classify, Regress or MultiInference."""


def unmeasured(
    model: SavedModel, api: str, feeds: Feeds, fetches: Sequence[TensorSpec]
) -> list[NDArray[Any]]:
    """A `Compute` that only computes."""
    return model.compute(feeds, fetches)


def find_signature(model: SavedModel, name: str) -> Signature:
    """The signature with this name; the default signature without a name.

    Raises
    ------
    Refused
        FAILED_PRECONDITION when the model has none.
    """
    key = name or DEFAULT_SIGNATURE
    signature = model.signatures.get(key)
    if signature is None:
        raise Refused(Code.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.')
    return signature


def predict(model: SavedModel, request: Any, compute: Compute = unmeasured) -> Arrays:
    """The outputs of a ``PredictRequest``.

    Raises
    ------
    Refused
        When inputs or output names do not match the signature, or TensorFlow refuses.
    """
    signature = find_signature(model, request.model_spec.signature_name)
    _check_number(signature, request.inputs)
    inputs = _input_values(signature, request.inputs)
    return _outputs(model, signature, inputs, request.output_filter, compute)


def predict_arrays(
    model: SavedModel, signature: Signature, inputs: Arrays, compute: Compute = unmeasured
) -> Arrays:
    """Every output for inputs that are arrays already; see `predict`."""
    _check_number(signature, inputs)
    return _outputs(model, signature, inputs, (), compute)


def _outputs(
    model: SavedModel,
    signature: Signature,
    inputs: Arrays,
    output_filter: Sequence[str],
    compute: Compute,
) -> Arrays:
    """The filtered outputs, or every one without a filter."""
    names = _output_names(signature, output_filter)
    feeds = [(spec, inputs[name]) for name, spec in signature.inputs.items()]
    values = compute(model, "Predict", feeds, [signature.outputs[name] for name in names])
    return dict(zip(names, values, strict=True))


def _check_number(signature: Signature, inputs: Mapping[str, Any]) -> None:
    size, expected = len(inputs), len(signature.inputs)
    if size == expected or (size < expected and signature.definition.defaults):
        return
    extra = inputs.keys() - signature.inputs.keys()
    missing = signature.inputs.keys() - inputs.keys()
    raise invalid(
        f"input size does not match signature: {size}!={expected} len({_set(inputs)}) != "
        f"len({_set(signature.inputs)}). Sent extra: {_set(extra)}. "
        f"Missing but required: {_set(missing)}."
    )


def _input_values(signature: Signature, protos: Mapping[str, Any]) -> Arrays:
    """The arrays of all inputs; those that are not sent have their default of the signature."""
    defaults = signature.definition.defaults
    taken: dict[str, Any] = {}
    for alias, spec in signature.inputs.items():
        proto = protos.get(alias) or defaults.get(alias)
        if alias not in protos and alias not in defaults:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {spec.name}) not found in request and "
                "no default value provided. Inputs expected to be in the request "
                f"{_set(protos)}, or default input alias set: {','.join(sorted(defaults))}"
            )
        taken[alias] = proto
    arrays = decode_inputs(taken)
    used = sorted([alias for alias in taken if alias in protos])
    if len(used) != len(protos):
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {','.join(used)}, "
            f"request input: {','.join(sorted(protos))}"
        )
    return arrays


def _output_names(signature: Signature, output_filter: Sequence[str]) -> list[str]:
    names: list[str] = []
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {_set(signature.outputs)}."
            )
        if name in names:
            raise invalid(f"duplicate output tensor alias: {name}")
        names.append(name)
    return names or list(signature.outputs)


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def fill_spec(spec: Any, asked: Any, version: int | None = None) -> None:
    """Fill the ``model_spec`` of a response (``MakeModelSpec``)."""
    spec.name = asked.name
    spec.signature_name = asked.signature_name or DEFAULT_SIGNATURE
    if version is not None:
        spec.version.value = version

"""Classifications and regressions of one loaded model, for REST, gRPC and the warm-up.

Source: ``servables/tensorflow`` of TF Serving: ``classifier.cc``, ``regressor.cc``,
``multi_inference.cc`` and ``util.cc``. As there by default, a signature is what its inputs and
outputs make it: its method name is not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from serving.engines.modelserver.codes import Code, Refused, invalid
from serving.engines.modelserver.predict import Compute, fill_spec, unmeasured
from serving.engines.modelserver.priority import at_normal_priority
from serving.engines.modelserver.protos import (
    ClassificationResult,
    DataType,
    MultiInferenceResponse,
    RegressionResult,
)
from serving.engines.modelserver.saved_model import (
    DEFAULT_SIGNATURE,
    SavedModel,
    Signature,
    TensorSpec,
)
from serving.engines.modelserver.tensors import STRING, code_of, strings

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
_INPUTS, _OUTPUTS, _CLASSES, _SCORES = "inputs", "outputs", "classes", "scores"
_FLOAT = 1

Tensors = Mapping[str, NDArray[Any]]
"""Arrays by the names of their tensors."""


def classify(model: SavedModel, request: Any, compute: Compute = unmeasured) -> Any:
    """The ``ClassificationResult`` of a ``ClassificationRequest``.

    Raises
    ------
    Refused
        When the signature has not the form of a classifier, or TensorFlow refuses.
    """
    signature = _signature(model, request.model_spec)
    source, fetches = _classifier(signature)
    examples = serialized_examples(request.input)
    values = compute(model, "Classify", [(source, examples)], fetches)
    tensors = _by_name(fetches, values)
    return at_normal_priority(_classifications, signature, len(examples), tensors)


def regress(model: SavedModel, request: Any, compute: Compute = unmeasured) -> Any:
    """The ``RegressionResult`` of a ``RegressionRequest``; refusals as `classify`."""
    signature = _signature(model, request.model_spec)
    source, fetches = _regressor(signature)
    examples = serialized_examples(request.input)
    values = compute(model, "Regress", [(source, examples)], fetches)
    tensors = _by_name(fetches, values)
    return at_normal_priority(_regressions, signature, len(examples), tensors)


def multi_infer(model: SavedModel, request: Any, compute: Compute = unmeasured) -> tuple[Any, int]:
    """The ``MultiInferenceResponse`` without versions, and the number of examples.

    All tasks are computed in one run; refusals as `classify`, and UNIMPLEMENTED for a task of
    another method.
    """
    sources: dict[str, TensorSpec] = {}
    fetches: dict[str, TensorSpec] = {}
    signatures: dict[str, Signature] = {}
    for task in request.tasks:
        signature = _task_signature(model, task, request.tasks[0].model_spec.name, signatures)
        source, outputs = _task_tensors(signature, task.method_name)
        sources[source.name] = source
        fetches.update((output.name, output) for output in outputs)
    examples = serialized_examples(request.input)
    feeds = [(source, examples) for source in sources.values()]
    values = compute(model, "MultiInference", feeds, list(fetches.values()))
    tensors = _by_name(fetches.values(), values)
    tasks = list(zip(request.tasks, signatures.values(), strict=True))
    return at_normal_priority(_results, tasks, len(examples), tensors), len(examples)


def _results(tasks: Iterable[tuple[Any, Signature]], examples: int, tensors: Tensors) -> Any:
    """The ``MultiInferenceResponse`` of some tasks."""
    response = MultiInferenceResponse()
    for task, signature in tasks:
        result = response.results.add()
        if task.method_name == CLASSIFY:
            classified = _classifications(signature, examples, tensors)
            result.classification_result.CopyFrom(classified)
        else:
            regressed = _regressions(signature, examples, tensors)
            result.regression_result.CopyFrom(regressed)
        fill_spec(result.model_spec, task.model_spec)
    return response


def serialized_examples(source: Any) -> NDArray[Any]:
    """The serialized examples of an ``Input``, each behind the shared context
    (``InputToSerializedExampleTensor``).

    Raises
    ------
    Refused
        INVALID_ARGUMENT without examples.
    """
    kind = source.WhichOneof("kind")
    examples = getattr(source, kind).examples if kind else ()
    if not examples:
        raise invalid("Input is empty.")
    context = b""
    if kind == "example_list_with_context":
        context = source.example_list_with_context.context.SerializeToString()
    texts = [context + example.SerializeToString() for example in examples]
    return strings(texts, (len(texts),))


def _signature(model: SavedModel, spec: Any) -> Signature:
    name = spec.signature_name or DEFAULT_SIGNATURE
    signature = model.signatures.get(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    return signature


def _task_signature(
    model: SavedModel, task: Any, model_name: str, signatures: dict[str, Signature]
) -> Signature:
    """The signature of a task, added to those of the tasks before it."""
    if not task.model_spec.name:
        raise invalid("Found ModelSpec with an empty model name.")
    if task.model_spec.name != model_name:
        raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    name = task.model_spec.signature_name or DEFAULT_SIGNATURE
    if name in signatures:
        raise invalid(f"Duplicate evaluation of signature: {name}")
    if name not in model.signatures:
        raise invalid(f"Requested signature not found in model graph: {name}")
    signatures[name] = model.signatures[name]
    return signatures[name]


def _task_tensors(signature: Signature, method: str) -> tuple[TensorSpec, list[TensorSpec]]:
    if method == CLASSIFY:
        return _classifier(signature)
    if method == REGRESS:
        return _regressor(signature)
    raise Refused(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")


def _classifier(signature: Signature) -> tuple[TensorSpec, list[TensorSpec]]:
    """Input and outputs of a classifier (``PreProcessClassification``)."""
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if _INPUTS not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature.definition}")
    fetches = [signature.outputs[name] for name in (_CLASSES, _SCORES) if name in signature.outputs]
    if not fetches:
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"{_CLASSES}" or "{_SCORES}". Signature was: {signature.definition}'
        )
    return signature.inputs[_INPUTS], fetches


def _regressor(signature: Signature) -> tuple[TensorSpec, list[TensorSpec]]:
    """Input and output of a regressor (``PreProcessRegression``)."""
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if _INPUTS not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature.definition}")
    if _OUTPUTS not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature.definition}")
    return signature.inputs[_INPUTS], [signature.outputs[_OUTPUTS]]


def _by_name(fetches: Iterable[TensorSpec], values: Sequence[NDArray[Any]]) -> Tensors:
    return dict(zip((fetch.name for fetch in fetches), values, strict=True))


def _classifications(signature: Signature, count: int, tensors: Tensors) -> Any:
    """The result for `count` examples (``PostProcessClassificationResult``)."""
    classes = _column(signature, _CLASSES, STRING, count, tensors)
    scores = _column(signature, _SCORES, _FLOAT, count, tensors)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = ClassificationResult()
    labels = None if classes is None else classes.tolist()
    numbers = None if scores is None else scores.tolist()
    width = next(array.shape[1] for array in (classes, scores) if array is not None)
    for row in range(count):
        item = result.classifications.add()
        for column in range(width):
            entry = item.classes.add()
            if labels is not None:
                entry.label = labels[row][column].decode("utf-8", "replace")
            if numbers is not None:
                entry.score = numbers[row][column]
    return result


def _column(
    signature: Signature, alias: str, code: int, count: int, tensors: Tensors
) -> NDArray[Any] | None:
    """One output of a classifier, its shape and type checked."""
    if alias not in signature.outputs:
        return None
    array = tensors[signature.outputs[alias].name]
    if array.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    if code_of(array) != code:
        raise invalid(
            f"Expected {alias} Tensor of {DataType.Name(code)}. "
            f"Got: {DataType.Name(code_of(array))}"
        )
    if array.shape[0] != count:
        raise invalid(f"Expected {alias} output batch size of {count}. Got: {array.shape[0]}")
    return array


def _regressions(signature: Signature, count: int, tensors: Tensors) -> Any:
    """The result for `count` examples (``PostProcessRegressionResult``)."""
    array = tensors[signature.outputs[_OUTPUTS].name]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape(array)}"
        )
    if array.shape[0] != count:
        raise invalid(
            f"Input batch size did not match output batch size: {count} vs. {array.shape[0]}"
        )
    if code_of(array) != _FLOAT:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {DataType.Name(code_of(array))}")
    result = RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add().value = value
    return result


def _shape(array: NDArray[Any]) -> str:
    return f"[{','.join(map(str, array.shape))}]"

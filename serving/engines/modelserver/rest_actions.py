"""The actions of the REST API, from a body to the body of the response; they run in threads.

Source: ``ProcessPredictRequest``, ``ProcessClassifyRequest`` and ``ProcessRegressRequest`` of
``http_rest_api_handler.cc``.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from serving.engines.modelserver import classify, examples, predict, render
from serving.engines.modelserver.bodies import Bodies, Parsed
from serving.engines.modelserver.codes import invalid
from serving.engines.modelserver.gzip_body import unpack
from serving.engines.modelserver.priority import at_normal_priority
from serving.engines.modelserver.protos import ClassificationRequest, RegressionRequest
from serving.engines.modelserver.rest_path import Target
from serving.engines.modelserver.saved_model import DEFAULT_SIGNATURE
from serving.engines.modelserver.service import Service


def act(
    service: Service,
    bodies: Bodies,
    target: Target,
    content: bytes | bytearray,
    encoding: str,
    most: int,
) -> tuple[bytes, int]:
    """The body of the response, and the version that answered.

    Raises
    ------
    Refused
        With the code and text of TF Serving.
    """
    whole = unpack(content, encoding, most=most)
    with bodies.parsed(whole, seconds=service.run_seconds) as body:
        if target.action == "predict":
            return _predict(service, target, body)
        return _infer(service, target, body)


def _predict(service: Service, target: Target, body: Parsed) -> tuple[bytes, int]:
    with service.hold(target.address) as (version, model):
        name = body.signature or DEFAULT_SIGNATURE
        signature = model.signatures.get(name)
        if signature is None:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        inputs = body.arrays({key: spec.code for key, spec in signature.inputs.items()})
        outputs = predict.predict_arrays(model, signature, inputs, service.compute)
    content = at_normal_priority(partial(render.render, outputs, by_row=body.by_row))
    return content, version


def _infer(service: Service, target: Target, body: Parsed) -> tuple[bytes, int]:
    classifies = target.action == "classify"
    request: Any = ClassificationRequest() if classifies else RegressionRequest()
    request.model_spec.name = target.address.name
    request.model_spec.signature_name = body.signature
    request.input.CopyFrom(body.examples())
    with service.hold(target.address) as (version, model):
        if classifies:
            result = classify.classify(model, request, service.compute)
            return at_normal_priority(examples.write_classifications, result), version
        result = classify.regress(model, request, service.compute)
        return at_normal_priority(examples.write_regressions, result), version

"""One version on one model server, asked over TF Serving's REST API (the official server too)."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

MAX_BYTES = 16 << 20
"""Largest response that is read; a batch of answers has a few kilobytes."""
PREFERRED_OUTPUTS = ("probabilities", "predictions")
"""Outputs that are compared where a model has several; without them, the first by name."""
_NOT_SEEN = frozenset({404, 429, 503})
"""Status codes of a server that has not loaded the version or takes no request now."""


class RequestFailed(Exception):
    """A request without usable answers."""

    def __init__(self, message: str, *, reached: bool = True, refused: bool = False) -> None:
        super().__init__(message)
        self.reached = reached
        """Whether the version saw the request."""
        self.refused = refused
        """Whether it answered with an error, which may be due to one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAnswer:
    """The answer to one row."""

    value: float
    """NaN where it is no number."""
    shape: str
    """Shape of the row's answer, for example ``[1]``, with the names of several outputs."""
    numbers: tuple[float, ...] = ()
    """All numbers of the output, NaN for what is none; empty for a single one."""


class PredictClient:
    """Predictions of one version.

    Parameters
    ----------
    url:
        Address of the server's REST API.
    model, version:
        What is asked. A server that has another version loaded answers 404.
    timeout_seconds:
        Time limit of a whole request.
    """

    def __init__(self, url: str, model: str, version: int, *, timeout_seconds: float) -> None:
        self._path = f"/v1/models/{model}/versions/{version}"
        self._seconds = timeout_seconds
        # proxies of the environment are for the internet, not for a model server
        self._http = httpx.Client(
            base_url=url.rstrip("/"), timeout=timeout_seconds, trust_env=False
        )

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def outputs(self) -> tuple[str, ...]:
        """Name, type and shape of each output, by name; empty if the server does not tell."""
        try:
            body = self._send("GET", f"{self._path}/metadata")
            signatures = body["metadata"]["signature_def"]["signature_def"]
            outputs = signatures["serving_default"]["outputs"]
            return tuple(_description(name, outputs[name]) for name in sorted(outputs))
        except (RequestFailed, KeyError, TypeError, AttributeError):
            return ()

    def predict(self, instances: Sequence[Mapping[str, Any]]) -> list[RowAnswer]:
        """The answers to a batch, in order.

        Raises
        ------
        RequestFailed
            When there is no answer in time, an error, or another number of answers.
        """
        content = json.dumps({"instances": list(instances)}).encode()  # NaN is a missing number
        body = self._send("POST", f"{self._path}:predict", content)
        predictions = body.get("predictions") if isinstance(body, dict) else None
        if not isinstance(predictions, list) or len(predictions) != len(instances):
            count = len(predictions) if isinstance(predictions, list) else "no list of"
            raise RequestFailed(f"{count} answers came for {len(instances)} rows", refused=True)
        return [row_answer(prediction) for prediction in predictions]

    def _send(self, method: str, path: str, content: bytes | None = None) -> Any:
        deadline = time.monotonic() + self._seconds
        parts, size = [], 0
        try:
            with self._http.stream(method, path, content=content) as response:
                for part in response.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_BYTES or time.monotonic() > deadline:
                        raise RequestFailed(f"no complete answer within {self._seconds:g} s")
                status = response.status_code
        except httpx.TransportError as error:
            reached = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            what = f"{error}" or type(error).__name__
            raise RequestFailed(what, reached=reached) from error
        text = b"".join(parts)
        if status != httpx.codes.OK:
            shown = text[:200].decode("utf-8", "replace")
            seen = status not in _NOT_SEEN
            raise RequestFailed(f"status {status}: {shown}", reached=seen, refused=seen)
        try:
            return json.loads(text)
        except ValueError as error:
            raise RequestFailed("the response is not JSON", refused=True) from error


def row_answer(prediction: Any) -> RowAnswer:
    """The value and shape of one element of `predictions`.

    The value of several numbers is the last one: the probability of 1.

    >>> row_answer([0.25]).value, row_answer({"probabilities": [0.2, 0.8], "classes": ["a", "b"]})
    (0.25, RowAnswer(value=0.8, shape='classes [2], probabilities [2]', numbers=(0.2, 0.8)))
    """
    if not isinstance(prediction, dict):
        return RowAnswer(
            value=_number(prediction), shape=_shape(prediction), numbers=_numbers(prediction)
        )
    names = sorted(str(name) for name in prediction)
    shape = ", ".join(f"{name} {_shape(prediction[name])}" for name in names)
    preferred = (name for name in PREFERRED_OUTPUTS if name in prediction)
    output = prediction.get(next(preferred, (names or [""])[0]))
    return RowAnswer(value=_number(output), shape=shape, numbers=_numbers(output))


def _numbers(value: Any) -> tuple[float, ...]:
    """The numbers of a flat list of several."""
    if not isinstance(value, list) or len(value) < 2:
        return ()
    return tuple(_number(entry) for entry in value)


def _number(value: Any) -> float:
    while isinstance(value, list):
        value = value[-1] if value else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan


def _shape(value: Any) -> str:
    sizes = []
    while isinstance(value, list):
        sizes.append(str(len(value)))
        value = value[0] if value else None
    return f"[{', '.join(sizes)}]"


def _description(name: str, output: Mapping[str, Any]) -> str:
    shape = output.get("tensor_shape") or {}
    sizes: Iterable[Any] = shape.get("dim") or ()
    dimensions = ", ".join(str(size.get("size", "0")) for size in sizes)
    return f"{name} {output.get('dtype', '')} [{dimensions}]"

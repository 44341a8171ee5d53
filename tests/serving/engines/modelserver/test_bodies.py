"""Large bodies are parsed in a process of their own, with the same result and the same refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from serving.engines.modelserver import bodies as module
from serving.engines.modelserver.bodies import LARGE_BYTES, Bodies
from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.render import render
from serving.engines.modelserver.tensors import strings

FLOAT, STRING = 1, 7
SPACE = b" " * LARGE_BYTES


@pytest.fixture
def bodies() -> Iterator[Bodies]:
    parser = Bodies()
    yield parser
    if parser._process is not None:
        parser._process.end()


def test_a_large_body_has_the_arrays_of_a_small_one(bodies: Bodies) -> None:
    for text in (
        b'{"inputs": {"x": [1, NaN], "t": ["a", ""]}}',
        b'{"instances": [{"x": 1, "t": "b"}]}',
    ):
        arrays = []
        for content in (text, text + SPACE):
            with bodies.parsed(content, seconds=30) as body:
                assert body.by_row == (b"instances" in text)
                arrays.append(body.arrays({"x": FLOAT, "t": STRING}))
        np.testing.assert_array_equal(arrays[0]["x"], arrays[1]["x"])
        assert arrays[0]["t"].tolist() == arrays[1]["t"].tolist()


def test_a_large_body_has_the_examples_of_a_small_one(bodies: Bodies) -> None:
    text = b'{"signature_name": "s", "examples": [{"x": 1.5}, {"x": ["a"]}]}'
    with bodies.parsed(text, seconds=30) as small, bodies.parsed(text + SPACE, seconds=30) as large:
        assert (small.signature, large.signature) == ("s", "s")
        assert small.examples() == large.examples()


@pytest.mark.parametrize(
    "text", [b"[1]", b'{"inputs": [1, "a"]}', b"{", b'{"inputs": 1e400}', b"{}"]
)
def test_a_large_body_is_refused_as_a_small_one(bodies: Bodies, text: bytes) -> None:
    refusals = []
    for content in (text, text + SPACE):
        with pytest.raises(Refused) as refused, bodies.parsed(content, seconds=30) as body:
            body.arrays({"x": FLOAT})
        refusals.append((refused.value.code, refused.value.message.partition(" at offset")[0]))
    assert refusals[0] == refusals[1]


def test_a_body_whose_model_is_refused_leaves_the_process_usable(bodies: Bodies) -> None:
    for _ in range(2):
        with bodies.parsed(b'{"inputs": [1]}' + SPACE, seconds=30):
            pass  # nobody asks for its values
    with bodies.parsed(b'{"inputs": [2]}' + SPACE, seconds=30) as body:
        assert body.arrays({"x": FLOAT})["x"].tolist() == [2]


def test_a_body_that_takes_too_long_ends_the_process(bodies: Bodies) -> None:
    with pytest.raises(Refused) as refused, bodies.parsed(SPACE + b"{}", seconds=0):
        pass
    assert refused.value.code is Code.DEADLINE_EXCEEDED
    assert bodies._process is None
    with bodies.parsed(b'{"inputs": [2]}' + SPACE, seconds=30) as body:
        assert body.signature == ""


def test_a_process_that_dies_is_replaced(bodies: Bodies) -> None:
    content = b'{"inputs": [1]}' + SPACE
    with bodies.parsed(content, seconds=30):
        pass
    assert bodies._process is not None
    bodies._process._process.kill()
    bodies._process._process.wait()
    with pytest.raises(Refused, match="too much memory"), bodies.parsed(content, seconds=30):
        pass
    with bodies.parsed(content, seconds=30) as body:
        assert body.arrays({"x": FLOAT})["x"].tolist() == [1]


def test_the_memory_of_a_large_body_is_returned(
    bodies: Bodies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LAST_BYTES", LARGE_BYTES)
    with bodies.parsed(b'{"inputs": [1]}' + SPACE, seconds=30):
        assert bodies._process is not None
    assert bodies._process is None


@pytest.mark.parametrize(
    "shape", [(70_000,), (7, 10_000), (1, 70_000), (70_000, 1), (2, 3, 20_000)]
)
@pytest.mark.parametrize("last", [1.5, np.nan])
def test_a_large_response_is_written_in_parts(shape: tuple[int, ...], last: float) -> None:
    array = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    array.flat[-1] = last
    for by_row in (True, False):
        written = json.loads(render({"y": array}, by_row=by_row))
        np.testing.assert_array_equal(np.array(next(iter(written.values()))), array)
    texts = strings([b"t"] * array.size, shape)
    written = json.loads(render({"y": array, "t": texts}, by_row=True))["predictions"]
    assert len(written) == shape[0]
    np.testing.assert_array_equal(np.array([row["y"] for row in written]), array)
    columns = json.loads(render({"y": array, "t": texts}, by_row=False))["outputs"]
    assert np.array(columns["t"]).shape == shape

"""One serving stack of real processes per test module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.engines.serving_stack import ServingStack, open_serving_stack, program


@pytest.fixture(scope="module")
def serving_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServingStack]:
    """Envoy, Prometheus and three fake model servers; stopped after the module."""
    prometheus = program("prometheus")
    if prometheus is None:
        pytest.skip("Prometheus is not installed; run `make setup`.")
    folder = tmp_path_factory.mktemp("serving-stack")
    with open_serving_stack(folder, prometheus, stack_type=ServingStack) as stack:
        yield stack

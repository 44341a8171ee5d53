"""One street of real processes for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serving.engines.serving_stack import Street, open_street, program


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    """Envoy, Prometheus and three toy servers; ended after the module."""
    prometheus = program("prometheus")
    if prometheus is None:
        pytest.skip("Prometheus is not installed; run `make setup`.")
    with open_street(tmp_path_factory.mktemp("street"), prometheus) as town:
        yield town

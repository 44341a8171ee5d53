"""What all tests share: work whose result never changes is done once per test process."""

from __future__ import annotations

import gc
import zoneinfo
from collections.abc import Generator
from functools import cache

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, settings

# On a busy machine single examples are slow; that is no failure. The examples are the same in each
# run; `pytest --hypothesis-profile=random` looks for others.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("random"), derandomize=True)
settings.load_profile("steady")

# Each check of a configuration asks for them, and every answer reads hundreds of files.
# Set before the first test module is imported.
zoneinfo.available_timezones = cache(zoneinfo.available_timezones)

# Every `httpx.Client` and `httpx.get` reads all certificates, and the tests use no TLS.
httpx._transports.default.create_ssl_context = cache(  # type: ignore[attr-defined]
    httpx.create_ssl_context
)

# With values of variables and colours, an error that is logged takes a second of processor time.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests live to the end, so nothing looks for garbage among them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()

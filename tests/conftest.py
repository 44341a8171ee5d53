"""What all tests share: work whose result never changes is done once per test process."""

from __future__ import annotations

import zoneinfo
from functools import cache

import httpx

# Each check of a configuration asks for them, and every answer reads hundreds of files.
# Set before the first test module is imported.
zoneinfo.available_timezones = cache(zoneinfo.available_timezones)

# Every `httpx.Client` and `httpx.get` reads all certificates, and the tests use no TLS.
httpx._transports.default.create_ssl_context = cache(  # type: ignore[attr-defined]
    httpx.create_ssl_context
)

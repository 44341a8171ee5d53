"""Ports for servers that a test starts itself."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A port of the loopback address that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

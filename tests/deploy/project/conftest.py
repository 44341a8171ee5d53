"""A real broker for the replay."""

from __future__ import annotations

from tests.deploy.demo.conftest import bootstrap

__all__ = ["bootstrap"]

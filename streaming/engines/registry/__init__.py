"""The schema registry, through confluent-kafka's client."""

from streaming.engines.registry.client import Registry, schema_source

__all__ = ["Registry", "schema_source"]

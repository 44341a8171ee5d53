"""The schema registry, through confluent-kafka's client."""

from streaming.engines.registry.client import Registry, register_schema, schema_source

__all__ = ["Registry", "register_schema", "schema_source"]

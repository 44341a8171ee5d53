"""Kafka: the record log and the reader of a shard of partitions."""

"""Kafka: the queue of retrain requests, and examples from replayed offsets."""

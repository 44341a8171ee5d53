"""Kafka: the queue of retrain requests and the replay of examples."""

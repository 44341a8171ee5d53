"""Implementations of the ports of `retrain`: Kafka, TFX, the model store, and memory for tests."""

"""Implementations of the ports of `serving`: Envoy, Prometheus, model servers; memory for tests."""

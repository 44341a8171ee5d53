"""Envoy: its configuration as data, and the traffic router."""

"""Prometheus: its configuration, queries and samples."""

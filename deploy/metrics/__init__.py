"""Prometheus metrics that the daemon exports, computed from records."""

"""The Grafana dashboard, generated and checked by code."""

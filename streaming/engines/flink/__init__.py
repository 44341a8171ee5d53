"""Flink: the REST client and the pool of Beam's Python workers."""

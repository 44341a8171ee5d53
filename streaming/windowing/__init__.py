"""From raw events to complete windows: decoding, assignment, accumulation and completeness.

This package imports neither Beam nor Kafka.
"""

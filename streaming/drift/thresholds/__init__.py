"""Alarm thresholds: from a false-alarm budget to critical p-values and effects."""

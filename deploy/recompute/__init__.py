"""Computes the verdicts on the log again and compares them: `driftline trace --recompute`."""

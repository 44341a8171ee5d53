"""Seeded simulations that measure what the verdicts promise (`python -m tests.simulations`)."""

"""Seeded simulations of the judgement: what it promises, measured (`python -m tests.simulations`)."""

"""Experiments by user: pure decisions about arms, guardrails, intervals and when to stop."""

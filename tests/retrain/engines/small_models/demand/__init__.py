"""Regression: how many units a shop sells in an hour."""

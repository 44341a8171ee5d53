"""Tests whether the correlations between features have changed."""

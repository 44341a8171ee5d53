"""Histograms and distances for display; no alarm depends on them."""

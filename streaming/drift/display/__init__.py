"""Histograms and distances that are shown to people and never judged."""

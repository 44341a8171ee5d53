"""Predicts many rows of a file or a topic with a published version."""

"""Runs in ML Metadata: how they are written and read. Imports neither TFX nor TensorFlow."""

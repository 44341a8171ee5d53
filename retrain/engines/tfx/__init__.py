"""The TFX pipeline of a retrain run."""

"""Retrains as runs: recorded from the log, found, compared, shown in TensorBoard, copied to MLflow.

`recorder` completes ML Metadata from the log, `find` and `compare` serve the commands.
"""

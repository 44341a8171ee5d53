"""Long-running processes other than the daemon: retrain worker, label service."""

"""The demonstration: traffic that drifts on purpose, and the story it must tell."""

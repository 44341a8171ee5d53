"""The demonstration: traffic that drifts on purpose, and the timeline it must tell."""

"""Settings: their schema, units, defaults, and how driftline.yaml is found and read."""

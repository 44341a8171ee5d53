"""The command line interface, driftline."""

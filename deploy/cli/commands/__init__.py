"""The commands of `driftline`, one file for each group."""

"""Replays logged windows under changed rules and counts alarms."""

"""Backtests: logged windows judged again under changed settings."""

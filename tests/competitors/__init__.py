"""Detectors that Driftline is compared with, each in an environment of its own.

They are never dependencies: Evidently needs an older pandas, and a comparison should run the
published packages. `install` creates an environment from a hash-locked file, `competitor` starts a
worker in it and exchanges messages over pipes.
"""

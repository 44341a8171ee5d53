"""Detectors that Driftline is compared with, each in an environment of its own.

They are never dependencies: Evidently needs an older pandas, and a comparison should run what its
makers ship. `install` makes an environment from a hash-locked file, `peer` starts a worker in it
and speaks to it over pipes.
"""

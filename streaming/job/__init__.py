"""The stream job on Beam: events in, verdicts out.

Besides the worker pool this is the only package that imports Beam.
"""

"""The Beam job: the only package that imports Beam, besides the worker pool."""

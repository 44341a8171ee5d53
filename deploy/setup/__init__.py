"""Fetches, patches and checks what the embedded stack needs; no root, no Docker, no system Java.

Every step is resumable: it writes beside its target, verifies, renames, and leaves a stamp that
names what it was made from. A second run only reads the stamps. The steps import nothing but the
standard library, so that they can explain a half-made environment.
"""

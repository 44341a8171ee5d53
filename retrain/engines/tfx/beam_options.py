"""Beam's options of a pipeline, or of one of its components."""

from __future__ import annotations

from collections.abc import Iterable

BEAM = ("--runner=FnApiRunner",)
"""Beam's options. Its default runner first tries to download another runner, which hangs behind a
firewall."""


def beam_options(given: Iterable[str]) -> tuple[str, ...]:
    """The options that are given, with a runner in this process where they name none.

    >>> beam_options(["--temp_location=/scratch"])
    ('--runner=FnApiRunner', '--temp_location=/scratch')
    >>> beam_options(["--runner=PortableRunner"])
    ('--runner=PortableRunner',)
    """
    options = tuple(given)
    named = any(option.split("=")[0] == "--runner" for option in options)
    return options if named else (*BEAM, *options)

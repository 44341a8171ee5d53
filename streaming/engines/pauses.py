"""How long a reading step asks to rest before the next one.

Of the delay that a splittable step asks for, Beam's Flink runner keeps the whole seconds of what is
left when the step has ended: of one second it keeps none, and the next step follows at once. So a
pause is asked for in whole seconds, with some to spare; one that rounds to none is a bundle's time,
0.1 to 0.3 s.
"""

from __future__ import annotations

from apache_beam.utils.timestamp import Duration

_SPARE_SECONDS = 0.5
"""What passes until the runner looks; anything below a second is dropped."""


def rest(seconds: float) -> Duration:
    """What to ask for to rest about so many seconds.

    >>> [rest(seconds).micros / 1e6 for seconds in (0.0, 0.25, 1.0, 2.0)]
    [0.0, 0.0, 1.5, 2.5]
    """
    whole = round(seconds)
    return Duration(whole + _SPARE_SECONDS) if whole else Duration(0)

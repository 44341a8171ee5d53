"""Numbers, shares and category names as a sentence shows them."""

from __future__ import annotations

from collections.abc import Sequence

from streaming.grid import lower, upper

_MAX_LENGTH = 32
"""Longer category names are cut, so that verdict records stay small."""


def from_to(before: float, now: float) -> str:
    """Two numbers with as many digits as tell them apart, at least three.

    >>> from_to(9.612, 14.2), from_to(41.8001, 41.8003), from_to(5.0, 5.0)
    ('from 9.61 to 14.2', 'from 41.8001 to 41.8003', 'from 5 to 5')
    """
    texts = [(f"{before:.{digits}g}", f"{now:.{digits}g}") for digits in range(3, 18)]
    old, new = next((pair for pair in texts if pair[0] != pair[1]), texts[0])
    return f"from {old} to {new}"


def share_from_to(before: float, now: float) -> str:
    """Two shares in percent with as many decimals as tell them apart, at least one.

    >>> share_from_to(0.03, 0.181), share_from_to(0.00012, 0.00034)
    ('from 3.0% to 18.1%', 'from 0.01% to 0.03%')
    """
    texts = [(f"{before:.{decimals}%}", f"{now:.{decimals}%}") for decimals in (1, 2, 3, 4)]
    old, new = next((pair for pair in texts if pair[0] != pair[1]), texts[0])
    return f"from {old} to {new}"


def interval(low: float, high: float) -> str:
    """The numbers between two others.

    >>> interval(-1.5, 12.0), interval(41.81, 41.812)
    ('[-1.5, 12]', '[41.81, 41.812]')
    """
    texts = [(f"{low:.{digits}g}", f"{high:.{digits}g}") for digits in range(3, 18)]
    first, last = next((pair for pair in texts if pair[0] != pair[1]), texts[0])
    return f"[{first}, {last}]"


def interval_from_to(before: Sequence[float], now: Sequence[float]) -> str:
    """Two intervals with as many digits as tell their ends and each other apart.

    >>> interval_from_to((0.0, 12.0), (0.0, 24.5))
    'from [0, 12] to [0, 24.5]'
    >>> interval_from_to((41.7999999, 41.8000001), (41.7999998, 41.8000002))
    'from [41.7999999, 41.8000001] to [41.7999998, 41.8000002]'
    """
    for digits in range(3, 18):
        old, new = ([f"{end:.{digits}g}" for end in ends] for ends in (before, now))
        if old[0] != old[1] and new[0] != new[1] and old != new:
            break
    return f"from [{', '.join(old)}] to [{', '.join(new)}]"


def bucket_value(bucket: int, fraction_bits: int) -> float:
    """The shortest decimal in a bucket: the value itself where values have few digits.

    >>> from streaming.grid import bucket_of
    >>> [bucket_value(int(bucket), 6) for bucket in bucket_of([0.0, 5.0, -12.0, 99.9])]
    [0.0, 5.0, -12.0, 99.0]
    """
    low, high = (float(edge([bucket], fraction_bits)[0]) for edge in (lower, upper))
    return shortest(low, high)


def shortest(low: float, high: float, near: float | None = None) -> float:
    """The shortest decimal between two numbers.

    >>> shortest(9.875, 10.0), shortest(123.4, 123.9), shortest(0.0, 0.0)
    (9.9, 123.7, 0.0)
    """
    middle = low / 2.0 + high / 2.0 if near is None else near
    for digits in range(1, 17):
        for candidate in (middle, low, high):
            value = float(f"{candidate:.{digits}g}")
            if low <= value < high or low < value <= high <= 0.0:
                return value
    return middle


def quoted(name: str) -> str:
    """A category's name, shortened and printable.

    >>> quoted("Cash"), quoted("a" * 40)[-3:], quoted("tab\\tbed"), quoted('5" pipe')
    ('"Cash"', 'a…"', '"tab?bed"', '"5\\' pipe"')
    """
    shown = name if len(name) <= _MAX_LENGTH else f"{name[: _MAX_LENGTH - 1]}…"
    printable = "".join(letter if letter.isprintable() else "?" for letter in shown)
    return f'"{printable.replace(chr(34), chr(39))}"'

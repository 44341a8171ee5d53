"""The end of an error message about an unknown name: "Did you mean ...?"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the nearest known name, empty when none is near.

    >>> did_you_mean("big_tiper", ["big_tipper", "churn"])
    ' Did you mean big_tipper?'
    >>> did_you_mean("fraud", ["big_tipper", "churn"])
    ''
    """
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]}?" if nearest else ""

"""The page to which a sign-in leads: one of this console's own, never another site's."""

from __future__ import annotations

import re

_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
MAX_LENGTH = 2000


def own_page(address: str) -> str:
    """The address, if it is a path of this console; else the first page.

    >>> own_page("/approvals/1?a=b"), own_page("//evil.example"), own_page("https://evil.example")
    ('/approvals/1?a=b', '/', '/')
    """
    return address if len(address) <= MAX_LENGTH and _PATH.fullmatch(address) else "/"

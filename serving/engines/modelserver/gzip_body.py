"""Unpacks gzipped bodies of REST requests.

A body that cannot be unpacked is empty, other encodings are not unpacked, and responses are not
packed. Source: ``ReadRequestGzipBytes`` of ``util/net_http/server/internal/evhttp_request.cc``.
"""

from __future__ import annotations

import zlib

from serving.engines.modelserver.codes import Code, Refused

_GZIP = 31  # a gzip header and checksum around the data
_AT_ONCE = 1 << 18
"""Bytes that are copied with the interpreter's lock; other threads run in between."""

Content = bytes | bytearray


class TooLarge(Refused):
    """The refusal of a body of more than `most` bytes."""

    def __init__(self, most: int) -> None:
        super().__init__(Code.RESOURCE_EXHAUSTED, f"The body has more than {most:,} bytes.")


def unpack(content: Content, encoding: str, *, most: int) -> Content:
    """The body of a request with this ``Content-Encoding``.

    Raises
    ------
    TooLarge
        When it has more than `most` bytes, before they are all unpacked.
    """
    if "gzip" not in encoding:
        return content
    decompressor, unpacked = zlib.decompressobj(_GZIP), bytearray()
    parts = memoryview(content)
    try:
        for start in range(0, len(content), _AT_ONCE):
            packed = bytes(parts[start : start + _AT_ONCE])
            while packed and not decompressor.eof:
                unpacked += decompressor.decompress(packed, _AT_ONCE)
                packed = decompressor.unconsumed_tail
                if len(unpacked) > most:
                    raise TooLarge(most)
            if decompressor.eof:  # nothing may follow
                after = start + _AT_ONCE < len(content) or decompressor.unused_data
                return b"" if after else unpacked
    except zlib.error:
        return b""
    return b""

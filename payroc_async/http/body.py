"""Reads the body of an answer, within bounds."""

from __future__ import annotations

import aiohttp

from payroc_async.errors import ResponseFormatError

from .adapter import DirectResponse
from .failures import unreadable

__all__ = ["read_body"]

LARGEST_BODY = 8 * 1024 * 1024
"""Bytes read of one answer; a signature's image is the largest that the contract knows."""
CODINGS = frozenset(("", "identity", "gzip", "deflate", "br", "zstd"))
"""The content codings that aiohttp decodes, or refuses itself. It hands out any other undecoded."""


async def read_body(response: DirectResponse | aiohttp.ClientResponse) -> bytes:
    """The whole body, decompressed, unless it is larger than anything the contract knows."""
    content = response.content
    coding = response.headers.get("Content-Encoding")
    chunks, size = list[bytes](), 0
    try:
        while True:
            # Mostly the body came together with its headers, and there is nothing to wait for.
            chunk = content.read_nowait() if content.is_eof() else await content.readany()
            if not chunk:
                break
            size += len(chunk)
            if size > LARGEST_BODY:
                raise ResponseFormatError(f"the answer is larger than {LARGEST_BODY} bytes")
            if coding is not None and coding.strip().lower() not in CODINGS:
                raise unreadable(response.status, "unknown content coding")
            chunks.append(chunk)
    except BaseException:
        response.close()  # leaving its context alone would let it linger
        chunks, chunk = [], b""  # no part of an answer stays in a frame
        raise
    if response.connection is not None:
        response.close()  # after 101 it is another protocol's, which has no end
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)

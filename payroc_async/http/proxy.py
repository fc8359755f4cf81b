"""An HTTP proxy's URL, taken apart."""

from __future__ import annotations

import aiohttp
from yarl import URL

from payroc_async.secret import Secret

__all__ = ["parts_of_proxy"]


def parts_of_proxy(proxy: Secret) -> tuple[URL, Secret | None] | None:
    """Its URL without user and password, and these as a header's value; None if it is no URL.

    aiohttp would keep a password of the URL's where its errors and frames show it.
    """
    try:
        url = URL(proxy)
        if url.user is None:
            return url, None
        credentials = aiohttp.encode_basic_auth(url.user, url.password or "")
        return url.with_user(None), Secret(credentials)
    except ValueError:
        return None

"""The identity service's tokens: opaque, and valid for the gateway's lifetime."""

from __future__ import annotations

import secrets
import time

from attrs import define, field

__all__ = ["TOKEN_MARK", "Tokens"]

# All tokens share this prefix, so that one search finds a leaked token.
TOKEN_MARK = "payroc-simulator-token."


@define
class Tokens:
    """The valid tokens, each with its time of issue on the monotonic clock."""

    _issued: dict[str, float] = field(factory=dict)

    def issue(self) -> str:
        """Issues a new token."""
        token = TOKEN_MARK + secrets.token_urlsafe(32)
        self._issued[token] = time.monotonic()
        return token

    def accepts(self, token: str | None, lifetime: float) -> bool:
        """Whether the token was issued within the last `lifetime` seconds and not revoked."""
        issued = self._issued.get(token or "")
        return issued is not None and time.monotonic() - issued < lifetime

    def revoke(self, token: str | None) -> None:
        """Refuses this token from now on."""
        self._issued.pop(token or "", None)

    def revoke_all(self) -> None:
        """Refuses every token issued so far."""
        self._issued.clear()

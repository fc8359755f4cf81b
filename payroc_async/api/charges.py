"""Payments without a device: a saved card is charged. Source: contract section 12."""

from __future__ import annotations

from uuid import UUID

from payroc_async import models
from payroc_async.errors import ConfigurationError
from payroc_async.kinds import PAYMENT
from payroc_async.wire.converter import encode
from payroc_async.wire.protocol import Request, decipher_resource
from payroc_async.wording import a_type

from .resources import Endpoint, given_or_new_key

__all__ = ["Charges"]


class Charges(Endpoint):
    """What makes a payment without a device; a part of ``session.payments``."""

    async def create(
        self, request: models.PaymentRequest, *, idempotency_key: str | UUID | None = None
    ) -> models.Payment:
        """The payment that charging a saved card has led to, approved or not.

        A decline is a payment, too: ask ``outcome``, or call ``raise_for_decline()``. The charge is
        in no journal: keep the key before the call, if the process may die meanwhile.

        Source: contract section 12.

        Args:
            request: What is charged, and for what.
            idempotency_key: A UUID v4; a fresh one by default. The same request under the same key
                charges once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PayrocError: The gateway refused, or gave no answer. Where the error's
                ``may_have_taken_effect`` is true the card may be charged all the same: create the
                same request under the error's ``idempotency_key``, which shows the payment.

        Cancellation:
            The card may be charged. A caller that may be canceled gives a key, and repeats the call
            under it to learn.
        """
        if not isinstance(request, models.PaymentRequest):
            raise ConfigurationError("request", f"must be a PaymentRequest, not {a_type(request)}")
        key = given_or_new_key(idempotency_key)
        post = Request("POST", f"/{PAYMENT.resources}", encode(request), key)
        return await self._post(post, lambda answer: decipher_resource(PAYMENT, answer, post))

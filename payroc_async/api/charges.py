"""Payments without a device, from a saved card. Source: contract section 12."""

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
    """Payments made without a device; part of ``session.payments``."""

    async def create(
        self, request: models.PaymentRequest, *, idempotency_key: str | UUID | None = None
    ) -> models.Payment:
        """Charge a saved card, and return the payment, approved or declined.

        Check the payment's ``outcome``, or call ``raise_for_decline()``. The journal does not
        record the charge: store the idempotency key before the call if a crash must not lose it.

        Source: contract section 12.

        Args:
            request: The saved card to charge, and the order.
            idempotency_key: A UUID v4; a fresh one by default. The same request under the same key
                charges once.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PayrocError: The gateway refused or did not answer. If the error's
                ``may_have_taken_effect`` is true, the card may have been charged: to get the
                payment, repeat the same request under the error's ``idempotency_key``.

        Cancellation:
            The card may be charged. To find out, repeat the call under the same key: pass your own
            ``idempotency_key`` if the task may be canceled.
        """
        if not isinstance(request, models.PaymentRequest):
            raise ConfigurationError("request", f"must be a PaymentRequest, not {a_type(request)}")
        key = given_or_new_key(idempotency_key)
        post = Request("POST", f"/{PAYMENT.resources}", encode(request), key)
        return await self._post(post, lambda answer: decipher_resource(PAYMENT, answer, post))

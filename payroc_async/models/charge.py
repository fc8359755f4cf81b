"""A payment without a device: a card charged that was saved before. Source: contract section 12.

A request is checked when it is made, and raises ``ConfigurationError``.
"""

from __future__ import annotations

from typing import Any, Self

from attrs import Attribute, Factory, field, frozen

from payroc_async.errors import ConfigurationError

from .amount import (
    currency_of_amount,
    int_or_amount,
    is_currency_of_amount,
    is_sum,
    keep_minor_units,
)
from .customers import Customer
from .enums import OpenEnum, ProcessingModel, StandingInstructionsSequence
from .field_checks import as_tuple, each, flag, is_a, name_the_field, optional, text, word
from .itemized import ItemizedBreakdown
from .payment import Payment
from .requests import CredentialOnFile, IpAddress
from .retrieved_orders import FirstTransactionReference
from .shared import Model

__all__ = [
    "Channel",
    "CustomFieldRequest",
    "PaymentOrderRequest",
    "PaymentRequest",
    "SecureTokenPayload",
    "StandingInstructionsRequest",
]


class Channel(OpenEnum):
    """How the customer's order reached the merchant. Source: contract section 12."""

    POS = "pos"
    WEB = "web"
    MOTO = "moto"


def _token(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    """Checks for a secure token; its text is shown nowhere."""
    word(instance, attribute, value)
    if not (12 <= len(value) <= 19 and value.isascii() and value.isdigit()):
        raise ConfigurationError(
            attribute.name,
            "must be a secure token of 12 to 19 digits: the `token` of a payment's "
            "card.secure_token, not its `secure_token_id`",
        )


@frozen(kw_only=True, eq=False, repr=False)
class SecureTokenPayload(Model):
    """What is charged: a card that was saved before. Source: contract section 12.

    Args:
        token: The ``token`` of a payment's ``card.secure_token``, 12 to 19 digits; not its
            ``secure_token_id``.
    """

    type: str = field(default="secureToken", init=False)
    token: str = field(validator=_token, repr=False)


def _reference(instance: Any, attribute: Attribute[Any], value: Any) -> None:
    is_a(FirstTransactionReference)(instance, attribute, value)
    given = (value.payment_id, value.card_scheme_reference_id)
    if given == (None, None):
        raise ConfigurationError(attribute.name, "must name the first payment by its payment_id")
    for part in given:
        if part is not None:
            text(1, 64)(instance, attribute, part)


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class StandingInstructionsRequest(Model):
    """Says that the merchant starts the payment, as agreed with the customer.

    Source: contract section 12. ``subsequent_to`` makes those of a later payment.

    Args:
        sequence: ``FIRST`` for the payment with which the series begins, ``SUBSEQUENT`` after.
        processing_model: What was agreed, the same word as ``CredentialOnFile.mit_agreement``.
        reference_data_of_first_txn: The payment with which the series began, by its ``payment_id``
            and, if known, its ``card_scheme_reference_id``. Give it with every later one.
    """

    sequence: StandingInstructionsSequence = field(
        converter=StandingInstructionsSequence, validator=word
    )
    processing_model: ProcessingModel = field(converter=ProcessingModel, validator=word)
    reference_data_of_first_txn: FirstTransactionReference | None = field(
        default=None, validator=optional(_reference)
    )

    @classmethod
    def subsequent_to(cls, first: Payment, processing_model: ProcessingModel | str) -> Self:
        """The instructions of a later payment of the series that ``first`` began.

        Args:
            first: The payment with which the series began, as the gateway gave it.
            processing_model: What was agreed, as for the first.

        Raises:
            ConfigurationError: An argument is wrong, or no money was taken by ``first``.
        """
        if not isinstance(first, Payment) or not first.approved:
            raise ConfigurationError("first", "must be an approved Payment: a series needs one")
        return cls(
            sequence=StandingInstructionsSequence.SUBSEQUENT,
            processing_model=ProcessingModel(processing_model),
            reference_data_of_first_txn=FirstTransactionReference(
                payment_id=first.payment_id,
                card_scheme_reference_id=first.transaction_result.card_scheme_reference_id,
            ),
        )


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class PaymentOrderRequest(Model):
    """What is paid for, in a payment without a device. Source: contract section 12.

    Args:
        order_id: The merchant's own id for it, 1 to 24 characters.
        amount: In the currency's smallest unit: 4999 is 49.99 USD. Or an ``Amount``, of which the
            order keeps the int.
        currency: ISO 4217 code; may be left out beside an ``Amount``, else must agree with it.
        description: 1 to 256 characters.
        accept_partial_amount: Whether a part of the amount may be authorized. The gateway's
            default is False.
        breakdown: What the amount is made of.
        standing_instructions: Where the merchant starts the payment, without the customer.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    order_id: str = field(validator=text(1, 24))
    amount: int = field(converter=int_or_amount, validator=is_sum)
    currency: str = field(
        default=Factory(currency_of_amount, takes_self=True), validator=is_currency_of_amount
    )
    description: str | None = field(default=None, validator=optional(text(1, 256)), repr=False)
    accept_partial_amount: bool | None = field(default=None, validator=optional(flag))
    breakdown: ItemizedBreakdown | None = field(
        default=None, validator=optional(is_a(ItemizedBreakdown))
    )
    standing_instructions: StandingInstructionsRequest | None = field(
        default=None, validator=optional(is_a(StandingInstructionsRequest))
    )

    def __attrs_post_init__(self) -> None:
        keep_minor_units(self)


@frozen(kw_only=True, eq=False, repr=False)
class CustomFieldRequest(Model):
    """A field of the merchant's own. Source: contract section 5.

    The gateway drops a name that is not set up in the Self-Care Portal, without an error.
    """

    name: str = field(validator=text(1, 56))
    value: str = field(validator=text(1, 100), repr=False)


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class PaymentRequest(Model):
    """Charges a card that was saved before, without a device. Source: contract section 12.

    Args:
        channel: How the order reached the merchant. Which word fits a saved card, no source
            settles; Payroc's own example has ``WEB``.
        processing_terminal_id: The merchant's configuration at Payroc, 4 to 50 characters.
        order: What is paid for.
        payment_method: The saved card.
        operator: Who runs the payment.
        customer: Who pays.
        ip_address: The customer's IP address.
        credential_on_file: What was agreed, where the merchant starts the payment: then both this
            one's ``mit_agreement`` and ``order.standing_instructions`` are needed.
        auto_capture: False for a pre-authorization. The gateway's default is True.
        process_as_sale: True to settle at once. The gateway's default is False.
        custom_fields: Fields of the merchant's own; a list or a tuple.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    channel: Channel = field(converter=Channel, validator=word)
    processing_terminal_id: str = field(validator=text(4, 50))
    order: PaymentOrderRequest = field(validator=is_a(PaymentOrderRequest))
    payment_method: SecureTokenPayload = field(validator=is_a(SecureTokenPayload))
    operator: str | None = field(default=None, validator=optional(text(0, 50)))
    customer: Customer | None = field(default=None, validator=optional(is_a(Customer)))
    ip_address: IpAddress | None = field(default=None, validator=optional(is_a(IpAddress)))
    credential_on_file: CredentialOnFile | None = field(
        default=None, validator=optional(is_a(CredentialOnFile))
    )
    auto_capture: bool | None = field(default=None, validator=optional(flag))
    process_as_sale: bool | None = field(default=None, validator=optional(flag))
    custom_fields: tuple[CustomFieldRequest, ...] = field(
        default=(), converter=as_tuple, validator=each(CustomFieldRequest)
    )

    def __attrs_post_init__(self) -> None:
        standing = self.order.standing_instructions
        agreed = self.credential_on_file and self.credential_on_file.mit_agreement
        if agreed and standing is None:
            raise ConfigurationError(
                "order",
                "must have standing_instructions beside credential_on_file.mit_agreement: the "
                "gateway asks for both of a payment that the merchant starts",
            )
        if standing is not None and agreed != standing.processing_model:
            raise ConfigurationError(
                "credential_on_file",
                f"must have the mit_agreement {standing.processing_model.value!r}, as "
                "order.standing_instructions has it",
            )

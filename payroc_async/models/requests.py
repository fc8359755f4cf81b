"""What is sent to a device: the requests for instructions.

Source: contract section 4. A request is checked when it is made, and raises ``ConfigurationError``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import Attribute, field, frozen
from attrs.converters import optional as maybe

from payroc_async.errors import ConfigurationError
from payroc_async.wording import a_type

from .customers import Customer
from .enums import (
    BenefitCategory,
    ClosedLoopType,
    InstructionEntryMethod,
    IpAddressType,
    MitAgreement,
)
from .field_checks import flag, is_a, name_the_field, optional, text, word
from .orders import Order, RefundOrder
from .shared import Model, Raw

__all__ = [
    "ClosedLoopOptions",
    "CredentialOnFile",
    "CustomizationOptions",
    "EbtDetails",
    "IpAddress",
    "PaymentInstructionRequest",
    "RefundInstructionRequest",
    "SignatureInstructionRequest",
]


def _fits_type(instance: IpAddress, attribute: Attribute[str], value: str) -> None:
    kinds = {"ipv4": ipaddress.IPv4Address, "ipv6": ipaddress.IPv6Address}
    kind = kinds.get(instance.type)
    if kind is None:
        return
    try:
        kind(value)
    except ValueError:
        fits = False
    else:
        fits = True
    if not fits:  # raised out here, so that no context carries the address along
        raise ConfigurationError(
            attribute.name, f"must be an {instance.type} address, as its type says"
        )


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class IpAddress(Model):
    """The customer's IP address. Source: contract section 4."""

    type: IpAddressType = field(converter=IpAddressType, validator=word)
    value: str = field(validator=[word, _fits_type], repr=False)


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class CredentialOnFile(Model):
    """Whether and how the card is kept for later. Source: contract section 4."""

    external_vault: bool | None = field(default=None, validator=optional(flag))
    tokenize: bool | None = field(default=None, validator=optional(flag))
    secure_token_id: str | None = field(default=None, validator=optional(text(0, 200)), repr=False)
    mit_agreement: MitAgreement | None = field(
        default=None, converter=maybe(MitAgreement), validator=optional(word)
    )


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class EbtDetails(Model):
    """Which EBT benefit is used, and whether cash is withdrawn. Source: contract section 4."""

    benefit_category: BenefitCategory = field(converter=BenefitCategory, validator=word)
    withdrawal: bool | None = field(default=None, validator=optional(flag))


def as_json_object(value: Mapping[str, Any]) -> Raw:
    """A copy that no longer changes with the caller's."""
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a mapping, not {a_type(value)}")
    try:
        return Raw(orjson.loads(orjson.dumps(dict(value))))
    except TypeError:
        raise ValueError("must be a JSON object") from None


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class ClosedLoopOptions(Model):
    """How a closed-loop card is read. Source: contract section 4, which leaves its fields open.

    Args:
        type: The kind of card.
        options: What else the kind of card needs, in Payroc's own spelling; sent beside ``type``.
    """

    type: ClosedLoopType = field(
        default=ClosedLoopType.MIFARE, converter=ClosedLoopType, validator=word
    )
    # It may hold the card's keys, so no repr; a mapping has no hash.
    options: Mapping[str, Any] = field(
        factory=dict, converter=as_json_object, repr=False, hash=False
    )


@frozen(kw_only=True, field_transformer=name_the_field, eq=False, repr=False)
class CustomizationOptions(Model):
    """How the device takes the card. Source: contract section 4.

    Args:
        entry_method: The gateway's default is ``deviceRead``.
    """

    entry_method: InstructionEntryMethod | None = field(
        default=None, converter=maybe(InstructionEntryMethod), validator=optional(word)
    )
    ebt_details: EbtDetails | None = field(default=None, validator=optional(is_a(EbtDetails)))
    closed_loop_options: ClosedLoopOptions | None = field(
        default=None, validator=optional(is_a(ClosedLoopOptions))
    )


@frozen(kw_only=True, eq=False, repr=False)
class PaymentInstructionRequest(Model):
    """A sale, or a pre-authorization, for a device. Source: contract section 4.

    Args:
        processing_terminal_id: The merchant's configuration at Payroc, 4 to 50 characters; not the
            device's serial number.
        order: What is paid for.
        operator: Who runs the sale.
        customer: Who pays.
        ip_address: The customer's IP address.
        credential_on_file: Whether and how the card is kept for later.
        customization_options: How the device takes the card.
        auto_capture: False for a pre-authorization. The gateway's default is True.
        process_as_sale: True to settle at once. The gateway's default is False.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    processing_terminal_id: str = field(validator=text(4, 50))
    order: Order = field(validator=is_a(Order))
    operator: str | None = field(default=None, validator=optional(text(0, 50)))
    customer: Customer | None = field(default=None, validator=optional(is_a(Customer)))
    ip_address: IpAddress | None = field(default=None, validator=optional(is_a(IpAddress)))
    credential_on_file: CredentialOnFile | None = field(
        default=None, validator=optional(is_a(CredentialOnFile))
    )
    customization_options: CustomizationOptions | None = field(
        default=None, validator=optional(is_a(CustomizationOptions))
    )
    auto_capture: bool | None = field(default=None, validator=optional(flag))
    process_as_sale: bool | None = field(default=None, validator=optional(flag))


@frozen(kw_only=True, eq=False, repr=False)
class RefundInstructionRequest(Model):
    """A refund that refers to no payment, for a device. Source: contract section 4.

    To give back a payment that was made through Payroc, refund or reverse the payment instead: that
    needs no card.

    Args:
        processing_terminal_id: The merchant's configuration at Payroc, 4 to 50 characters; not the
            device's serial number.
        order: What is refunded.
        operator: Who runs the refund.
        customer: Who gets it.
        ip_address: The customer's IP address.
        customization_options: How the device takes the card.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    processing_terminal_id: str = field(validator=text(4, 50))
    order: RefundOrder = field(validator=is_a(RefundOrder))
    operator: str | None = field(default=None, validator=optional(text(0, 50)))
    customer: Customer | None = field(default=None, validator=optional(is_a(Customer)))
    ip_address: IpAddress | None = field(default=None, validator=optional(is_a(IpAddress)))
    customization_options: CustomizationOptions | None = field(
        default=None, validator=optional(is_a(CustomizationOptions))
    )


@frozen(kw_only=True, eq=False, repr=False)
class SignatureInstructionRequest(Model):
    """A signature, for a device to take. Source: contract section 4.

    Args:
        processing_terminal_id: The merchant's configuration at Payroc, 4 to 50 characters; not the
            device's serial number.

    Raises:
        ConfigurationError: A value is wrong; nothing was sent.
    """

    processing_terminal_id: str = field(validator=text(4, 50))

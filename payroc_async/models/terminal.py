"""Processing terminals: what one can do, and when its batch closes. Source: contract section 10.

An answer's fields may all be missing, but for a terminal's id and status. A word that the contract
does not list is kept as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from .enums import OpenEnum
from .shared import Model, Raw, ReadOnDemand

__all__ = [
    "AddressMode",
    "ApplicationSettings",
    "BatchCloseType",
    "BatchClosing",
    "BatchClosure",
    "CommunicationType",
    "EbtFeature",
    "EbtFeatureType",
    "EnhancedProcessing",
    "PaymentLinksFeature",
    "ProcessingTerminal",
    "ReceiptNotifications",
    "SuggestedTips",
    "TerminalDevice",
    "TerminalFeatures",
    "TerminalGateway",
    "TerminalSecurity",
    "TerminalStatus",
    "TerminalTax",
    "TipFeature",
    "TransactionDataLevel",
]


class TerminalStatus(OpenEnum):
    """Whether a terminal can be used. Source: contract section 10."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class BatchCloseType(OpenEnum):
    """Who closes a terminal's batch. Source: contract section 10."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class EbtFeatureType(OpenEnum):
    """Which EBT benefits a terminal takes. Source: contract section 10."""

    FOOD_STAMP = "foodStamp"
    CASH = "cash"
    BOTH = "both"


class TransactionDataLevel(OpenEnum):
    """How much data a commercial card's payment carries. Source: contract section 10."""

    LEVEL2 = "level2"
    LEVEL3 = "level3"


class AddressMode(OpenEnum):
    """How much of an address is asked for. Source: contract section 10."""

    FULL_ADDRESS = "fullAddress"
    POSTAL_CODE = "postalCode"


class CommunicationType(OpenEnum):
    """How a device is connected. Source: contract section 10."""

    BLUETOOTH = "bluetooth"
    CELLULAR = "cellular"
    ETHERNET = "ethernet"
    WIFI = "wifi"


@frozen(kw_only=True, eq=False, repr=False)
class BatchClosing(Model):
    """When the gateway closes the batch; not what was settled. Source: contract section 10.

    Attributes:
        cut_off_time: The time of day, ``HH:mm`` of 24 hours, in ``timezone``.
        timezone: The name of an IANA time zone, such as ``America/Chicago``.
        raw: The whole JSON object.
    """

    cut_off_time: str | None = None
    timezone: str | None = None
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)


@frozen(kw_only=True, eq=False, repr=False)
class BatchClosure(Model):
    """Who closes the terminal's batch, and when. Source: contract section 10.

    Attributes:
        batch_close_time: The time of day, ``HH:mm``; None where a person or program closes it.
    """

    batch_close_type: BatchCloseType | None = None
    batch_close_time: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class TerminalGateway(Model):
    """Which gateway the terminal is set up for. Source: contract section 10."""

    gateway: str | None = None
    terminal_template_id: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class ApplicationSettings(Model):
    """What the terminal asks its operator for. Source: contract section 10."""

    invoice_number_prompt: bool | None = None
    clerk_prompt: bool | None = None


@frozen(kw_only=True, eq=False, repr=False)
class SuggestedTips(Model):
    """The tips that a device offers. Source: contract section 10.

    Attributes:
        tip_percentages: In percent, as text, as the gateway gives them.
    """

    enabled: bool | None = None
    tip_percentages: tuple[str, ...] = ()


@frozen(kw_only=True, eq=False, repr=False)
class TipFeature(Model):
    """Whether and how the terminal takes tips. Source: contract section 10."""

    enabled: bool | None = None
    tip_prompt: bool | None = None
    tip_adjust: bool | None = None
    suggested_tips: SuggestedTips | None = None


@frozen(kw_only=True, eq=False, repr=False)
class EnhancedProcessing(Model):
    """Whether more data goes along with commercial cards. Source: contract section 10."""

    enabled: bool | None = None
    transaction_data_level: TransactionDataLevel | None = None
    shipping_address_mode: AddressMode | None = None


@frozen(kw_only=True, eq=False, repr=False)
class EbtFeature(Model):
    """Whether the terminal takes EBT cards, and which benefits. Source: contract section 10."""

    enabled: bool | None = None
    ebt_type: EbtFeatureType | None = None
    fns_number: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class PaymentLinksFeature(Model):
    """Whether payments can be made by link. Source: contract section 10."""

    enabled: bool | None = None
    logo_url: str | None = None
    footer_notes: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class TerminalFeatures(ReadOnDemand):
    """What the terminal can do. Source: contract section 10.

    None means that the answer does not say.

    Attributes:
        pre_authorizations: Whether ``auto_capture=False`` makes a pre-authorization. Without the
            feature, the gateway runs a sale that stays ``pending`` until it is captured, or refuses
            (contract sections 4 and 9).
    """

    tips: TipFeature | None = None
    enhanced_processing: EnhancedProcessing | None = None
    ebt: EbtFeature | None = None
    pin_debit_cashback: bool | None = None
    recurring_payments: bool | None = None
    payment_links: PaymentLinksFeature | None = None
    pre_authorizations: bool | None = None
    offline_payments: bool | None = None


@frozen(kw_only=True, eq=False, repr=False)
class TerminalTax(Model):
    """A tax that is set up for the terminal, as a rate in percent. Source: contract section 10."""

    tax_rate: float | None = None
    tax_label: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class TerminalSecurity(Model):
    """What the terminal checks, and whether it saves cards. Source: contract section 10."""

    tokenization: bool | None = None
    avs_prompt: bool | None = None
    avs_level: AddressMode | None = None
    cvv_prompt: bool | None = None


@frozen(kw_only=True, eq=False, repr=False)
class ReceiptNotifications(Model):
    """Which receipts the gateway sends to customers. Source: contract section 10."""

    email_receipt: bool | None = None
    sms_receipt: bool | None = None


@frozen(kw_only=True, eq=False, repr=False)
class TerminalDevice(Model):
    """A device that uses the terminal's configuration. Source: contract section 10."""

    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    communication_type: CommunicationType | None = None


NO_FEATURES = TerminalFeatures()


@frozen(kw_only=True, eq=False, repr=False)
class ProcessingTerminal(ReadOnDemand):
    """A processing terminal: the merchant's configuration. Source: contract section 10.

    Its id and status are there for sure. What else an answer lacks is None; ``features`` is always
    there, at the worst with nothing but None in it.

    Attributes:
        timezone: The name of an IANA time zone.
        taxes: At most 3.
        devices: At most 1.
        raw: The whole JSON object.
    """

    processing_terminal_id: str
    status: TerminalStatus
    timezone: str | None = None
    program: str | None = None
    gateway: TerminalGateway | None = None
    batch_closure: BatchClosure | None = None
    application_settings: ApplicationSettings | None = None
    features: TerminalFeatures = NO_FEATURES
    taxes: tuple[TerminalTax, ...] = ()
    security: TerminalSecurity | None = None
    receipt_notifications: ReceiptNotifications | None = None
    devices: tuple[TerminalDevice, ...] = ()
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)

    @property
    def active(self) -> bool:
        """Whether its status says that it can be used."""
        return self.status == TerminalStatus.ACTIVE

"""How a terminal is set up for its processor and its devices. Source: contract section 10.

Any part of an answer may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from .shared import Model, Raw, ReadOnDemand

__all__ = [
    "DeviceConfiguration",
    "EmvApplication",
    "EmvCertificate",
    "HostConfiguration",
    "ProcessorConfiguration",
    "ProcessorMerchant",
    "ProcessorTerminal",
    "VisualAsset",
]


@frozen(kw_only=True, eq=False, repr=False)
class EmvApplication(Model):
    """An application of chip cards that the device takes. Source: contract section 10."""

    identifier: str | None = None
    version: str | None = None
    card: str | None = None
    match_type: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class EmvCertificate(Model):
    """A public key of a card brand. Source: contract section 10."""

    rid: str | None = None
    exponent: str | None = None
    certificate: str | None = field(default=None, repr=False)


@frozen(kw_only=True, eq=False, repr=False)
class VisualAsset(Model):
    """An image for the device's screen. Source: contract section 10."""

    type: str | None = None
    scope: str | None = None
    url: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class DeviceConfiguration(ReadOnDemand):
    """What a model of device can do on a terminal. Source: contract section 10.

    Attributes:
        supports_mag_stripe: Whether it reads the magnetic stripe; the eight others alike.
        raw: The whole JSON object.
    """

    model: str | None = None
    manufacturer: str | None = None
    supports_mag_stripe: bool | None = None
    supports_icc: bool | None = None
    supports_keyed: bool | None = None
    supports_contactless: bool | None = None
    supports_pin_entry: bool | None = None
    supports_output_printing: bool | None = None
    supports_output_displaying: bool | None = None
    supports_attended: bool | None = None
    supports_unattended: bool | None = None
    applications: tuple[EmvApplication, ...] = ()
    certificates: tuple[EmvCertificate, ...] = ()
    revoked_certificates: tuple[EmvCertificate, ...] = ()
    visual_assets: tuple[VisualAsset, ...] = ()
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)


@frozen(kw_only=True, eq=False, repr=False)
class ProcessorMerchant(Model):
    """The merchant, as the processor knows it. Source: contract section 10."""

    pos_mid: str | None = None
    chain_number: str | None = None
    settlement_agent: str | None = None
    aba_number: str | None = None
    bin_number: str | None = None
    agent_bank_number: str | None = None
    reimbursement_attribute: str | None = None
    location_number: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class ProcessorTerminal(Model):
    """The terminal, as the processor knows it. Source: contract section 10."""

    terminal_id: str | None = None
    terminal_number: str | None = None
    authentication_code: str | None = field(default=None, repr=False)
    sharing_groups: str | None = None
    moto_allowed: bool | None = None
    internet_allowed: bool | None = None
    card_present_allowed: bool | None = None


@frozen(kw_only=True, eq=False, repr=False)
class ProcessorConfiguration(Model):
    """How the processor knows a terminal: today TSYS alone. Source: contract section 10."""

    processor: str | None = None
    merchant: ProcessorMerchant | None = None
    terminal: ProcessorTerminal | None = None


@frozen(kw_only=True, eq=False, repr=False)
class HostConfiguration(ReadOnDemand):
    """How a terminal is set up at its processor. Source: contract section 10.

    Attributes:
        raw: The whole JSON object.
    """

    processing_terminal_id: str | None = None
    processing_account_id: str | None = None
    configuration: ProcessorConfiguration | None = None
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)

"""What the gateway says about devices and what they read. Source: contract sections 2 and 5."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from attrs import field, frozen

from .enums import Tender
from .shared import Link, Model, Raw

__all__ = ["ClosedLoopRead", "Device", "DeviceType", "LastTransaction"]


@frozen(kw_only=True, eq=False, repr=False)
class DeviceType(Model):
    """What kind of device it is. Source: contract section 5."""

    model: str | None = None
    manufacturer: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class LastTransaction(Model):
    """The last thing that a device was used for. Source: contract section 5."""

    order_id: str | None = None
    date_time: datetime | None = None
    processing_terminal_id: str | None = None


@frozen(kw_only=True, eq=False, repr=False)
class Device(Model):
    """A payment device that the merchant has. Source: contract section 5.

    Attributes:
        serial_number: What instructions are sent to.
        ksi: The key serial identifier: which keys it encrypts with.
        created_date: A day, or a moment as text: the sources do not say which, so it is as it came.
        deactivated_date: As ``created_date``; None while the device is active.
        raw: The whole JSON object.
    """

    device_id: str | None = None
    serial_number: str | None = None
    ksi: str | None = None
    tender: Tender | None = None
    device_type: DeviceType | None = None
    created_date: str | None = None
    deactivated_date: str | None = None
    last_transaction: LastTransaction | None = None
    links: tuple[Link, ...] = ()
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)

    @property
    def active(self) -> bool:
        """Whether it can be used: a deactivated device has a date of it, readable or not."""
        return self.deactivated_date is None and self.raw.get("deactivatedDate") is None


@frozen(kw_only=True, eq=False, repr=False)
class ClosedLoopRead(Model):
    """What a device read from a closed-loop card. Source: contract section 2.

    Attributes:
        data: The card's payload, whatever the kind of card has. Its repr shows nothing of it.
        raw: The whole JSON object.
    """

    processing_terminal_id: str | None = None
    closed_loop_read_id: str
    read_date: date | None = None
    # A mapping has no hash.
    data: Mapping[str, Any] = field(converter=Raw, repr=False, hash=False)
    raw: Mapping[str, Any] = field(factory=dict, converter=Raw, repr=False, eq=False)

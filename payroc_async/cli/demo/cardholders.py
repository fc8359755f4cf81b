"""The demo's cardholders, the injected faults, and the expected outcomes.

All of it is derived from a seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from enum import Enum

from attrs import evolve, frozen

from payroc_async.simulator import (
    Device,
    FaultAction,
    drop_after,
    drop_before,
    garbage,
    hang,
    html,
    rate_limited,
    status,
    truncated,
)

__all__ = ["MANNERS", "Ending", "Manner", "Tour", "Trouble", "Visit", "plan"]

FIRST_SERIAL_NUMBER = 1850010801
PRICES = (3.5, 4.2, 7.95, 12.0, 18.6, 24.99, 49.99, 65.0, 89.9, 129.0)


class Ending(Enum):
    """The ending of a sale, in words."""

    APPROVED = "approved"
    PARTIAL = "paid in part"
    DECLINED = "declined"
    FAILED = "device failed"
    REFUSED_BY_CARDHOLDER = "canceled on device"
    TIMED_OUT = "walked away"
    CANCELED_BY_TILL = "canceled by till"
    WRONG = "WRONG"

    @property
    def paid(self) -> bool:
        """Whether the cardholder was charged."""
        return self in (Ending.APPROVED, Ending.PARTIAL)


@frozen
class Manner:
    """A cardholder's behavior.

    Args:
        name: The description.
        share: The relative frequency.
        ending: The expected ending.
        script: Scripts the device, given the amount and the seconds it takes.
        patience: What ends a sale that would not end otherwise: the sale's ``timeout``, or the
            till, which cancels the awaiting task.
    """

    name: str
    share: int
    ending: Ending
    script: Callable[[Device, int, float], Device]
    patience: str | None = None


MANNERS = (
    Manner("pays", 58, Ending.APPROVED, lambda device, _, after: device.approves(after)),
    Manner(
        "has a card that is declined",
        12,
        Ending.DECLINED,
        lambda device, _, after: device.declines(after),
    ),
    Manner(
        "has a gift card with too little on it",
        6,
        Ending.PARTIAL,
        lambda device, amount, after: device.approves_partially(part_of(amount), after),
    ),
    Manner(
        "walks away",
        6,
        Ending.TIMED_OUT,
        lambda device, _, after: device.never_finishes(),
        patience="timeout",
    ),
    Manner(
        "pays just as the sale times out",
        4,
        Ending.APPROVED,
        lambda device, _, after: device.completes_on_cancel(),
        patience="timeout",
    ),
    Manner(
        "uses a broken device",
        5,
        Ending.FAILED,
        lambda device, _, after: device.fails("Card reader error", after),
    ),
    Manner(
        "presses the cancel key",
        5,
        Ending.REFUSED_BY_CARDHOLDER,
        lambda device, _, after: device.cardholder_cancels(after),
    ),
    Manner(
        "is still looking for the card when the till cancels",
        4,
        Ending.CANCELED_BY_TILL,
        lambda device, _, after: device.never_finishes(),
        patience="till",
    ),
)


def part_of(amount: int) -> int:
    """The balance of a gift card, in the smallest unit."""
    return amount * 2 // 5


@frozen
class Trouble:
    """A fault in one request of a sale.

    Args:
        name: The description for the summary.
        on: The simulator's kind of request that the fault applies to.
        make: Builds the fault, given the demo's pace.
    """

    name: str
    on: str
    make: Callable[[float], FaultAction]

    def befalls(self, manner: Manner) -> bool:
        """Whether a sale of this manner sends such a request."""
        if self.on == "cancel":
            return manner.patience is not None
        if manner.patience is not None:
            return False
        return self.on != "payment" or manner.ending.paid


TROUBLES = (
    Trouble("answer to a submission lost", "submit", lambda pace: drop_after()),
    Trouble("submission refused with 429", "submit", lambda pace: rate_limited("1")),
    Trouble("submission answered 502 by a proxy", "submit", lambda pace: html(502)),
    Trouble("poll reset", "status", lambda pace: hang(0.3 * pace)),
    Trouble("poll answered 502 by a proxy", "status", lambda pace: html(502)),
    Trouble("poll answered 504 by a proxy", "status", lambda pace: status(504)),
    Trouble("poll answered with garbage", "status", lambda pace: garbage()),
    Trouble("reading of the payment reset", "payment", lambda pace: drop_before()),
    Trouble("payment cut short", "payment", lambda pace: truncated()),
    Trouble("answer to a cancellation lost", "cancel", lambda pace: drop_after()),
)


@frozen(kw_only=True)
class Visit:
    """One cardholder at one device: the script of one sale.

    Args:
        order_id: The order's id.
        manner: The cardholder's behavior.
        amount: The amount to pay, in cents.
        after: How long the cardholder takes, in seconds.
        pause: How long the till takes before the sale, in seconds.
        trouble: The fault in one of its requests.
    """

    order_id: str
    manner: Manner
    amount: int
    after: float
    pause: float
    trouble: Trouble | None = None

    @property
    def authorized(self) -> int | None:
        """The expected authorized amount, in cents; None if no payment is expected."""
        return {
            Ending.APPROVED: self.amount,
            Ending.PARTIAL: part_of(self.amount),
            Ending.DECLINED: 0,
        }.get(self.manner.ending)


@frozen(kw_only=True)
class Tour:
    """One device and its cardholders, in order."""

    serial_number: str
    visits: tuple[Visit, ...]


def plan(devices: int, seed: int, pace: float) -> list[Tour]:
    """Return the cardholders of each device; the same for the same seed.

    If there are enough sales, every manner and every fault occurs; the rest is random.

    Args:
        devices: How many devices.
        seed: The seed.
        pace: 1 for about ten seconds in all; less is faster.
    """
    chance = random.Random(seed)
    rounds = min(9, max(2, math.ceil(36 / devices)))
    total = rounds * devices
    extra = chance.choices(MANNERS, [one.share for one in MANNERS], k=max(0, total - len(MANNERS)))
    manners = [*MANNERS, *extra][:total]
    chance.shuffle(manners)
    # A single device has all the faults, one after the other: they take time, too.
    slot = (9.0 - 2.5 * (devices == 1)) * pace / rounds
    visits = [
        Visit(
            order_id=f"Demo{seed}-{number}",
            manner=manner,
            amount=round(chance.choice(PRICES) * 100),
            after=chance.uniform(0.45, 0.7) * slot,
            pause=chance.uniform(0.05, 0.25) * slot,
        )
        for number, manner in enumerate(manners, 1)
    ]
    _deal_troubles(visits, chance)
    return [
        Tour(
            serial_number=str(FIRST_SERIAL_NUMBER + index),
            visits=tuple(visits[index * rounds : (index + 1) * rounds]),
        )
        for index in range(devices)
    ]


def _deal_troubles(visits: list[Visit], chance: random.Random) -> None:
    to_come = chance.sample(TROUBLES, len(TROUBLES))
    for index in chance.sample(range(len(visits)), len(visits)):
        visit = visits[index]
        fitting = [one for one in to_come if one.befalls(visit.manner)]
        if fitting:
            to_come.remove(fitting[0])
        elif chance.random() < 0.08:
            fitting = [one for one in TROUBLES if one.befalls(visit.manner)]
            chance.shuffle(fitting)
        if fitting:
            visits[index] = evolve(visit, trouble=fitting[0])

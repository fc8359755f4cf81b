"""Parse ``SERIAL=SCRIPT`` of the command line, such as ``1850010868=approves:2``."""

from __future__ import annotations

from collections.abc import Callable

from payroc_async import ConfigurationError
from payroc_async.simulator import Device, Simulator

__all__ = ["SCRIPTS", "add_script"]


def _whole(number: float) -> int:
    if not number.is_integer():
        raise ValueError("not a whole number")
    return int(number)


SCRIPTS: dict[str, tuple[str, Callable[..., Device]]] = {
    "approves": ("[:SECONDS]", lambda device, after=2.0: device.approves(after)),
    "declines": ("[:SECONDS]", lambda device, after=2.0: device.declines(after)),
    "approves_partially": (
        ":CENTS[:SECONDS]",
        lambda device, amount, after=2.0: device.approves_partially(_whole(amount), after),
    ),
    "approves_with_tip": (
        ":CENTS[:SECONDS]",
        lambda device, tip, after=2.0: device.approves(after, tip=_whole(tip)),
    ),
    "fails": ("[:SECONDS]", lambda device, after=2.0: device.fails(after=after)),
    "cardholder_cancels": (
        "[:SECONDS]",
        lambda device, after=2.0: device.cardholder_cancels(after),
    ),
    "never_finishes": ("", lambda device: device.never_finishes()),
    "completes_on_cancel": ("", lambda device: device.completes_on_cancel()),
    "is_offline": ("", lambda device: device.is_offline()),
}
"""Each script's name, the format of its numbers, and its device method."""


def add_script(gateway: Simulator, text: str) -> str:
    """Queue the script on its device.

    Returns:
        The device's serial number.

    Raises:
        ConfigurationError: The text is malformed.
    """
    serial_number, _, script = text.partition("=")
    name, *numbers = script.split(":")
    if not serial_number or name not in SCRIPTS:
        raise ConfigurationError("--device", f"must be SERIAL=SCRIPT, not {text!r}")
    usage, queue = SCRIPTS[name]
    try:
        queue(gateway.device(serial_number), *(float(number) for number in numbers))
    except (TypeError, ValueError):
        pass
    else:
        return serial_number
    raise ConfigurationError("--device", f"must be SERIAL={name}{usage}, not {text!r}")

"""The faults offered on the page, by their names in `faults`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from payroc_async.errors import ConfigurationError

from . import faults
from .faults import FaultAction, Faults
from .routes import REQUEST_KINDS

__all__ = ["MENU", "Offer", "add_fault", "menu_document"]

Json = dict[str, Any]


def _problem(text: str) -> FaultAction:
    code, _, fragment = text.partition(" ")
    return faults.problem(int(code), fragment.strip() or "api-error")


@frozen
class Offer:
    """One fault on offer.

    Args:
        make: Builds the fault from the operator's text.
        asks: The label of the text field; empty if the fault takes no text.
        example: An example of the text, used as the default.
    """

    make: Callable[[str], FaultAction]
    asks: str = ""
    example: str = ""


MENU = {
    "drop_before": Offer(lambda _: faults.drop_before()),
    "drop_after": Offer(lambda _: faults.drop_after()),
    "hang": Offer(lambda _: faults.hang()),
    "hang_after": Offer(lambda _: faults.hang_after()),
    "delay": Offer(lambda text: faults.delay(float(text)), "Seconds", "2"),
    "status": Offer(lambda text: faults.status(int(text)), "HTTP status", "503"),
    "problem": Offer(_problem, "HTTP status and type", "409 cannot-be-modified"),
    "html": Offer(lambda _: faults.html()),
    "garbage": Offer(lambda _: faults.garbage()),
    "empty": Offer(lambda _: faults.empty()),
    "truncated": Offer(lambda _: faults.truncated()),
    "wrong_content_type": Offer(lambda _: faults.wrong_content_type()),
    "huge": Offer(lambda _: faults.huge()),
    "rate_limited": Offer(lambda text: faults.rate_limited(text), "Retry-After", "1"),
    "redirect": Offer(lambda text: faults.redirect(text), "Location", "https://example.com/"),
    "revoke_token": Offer(lambda _: faults.revoke_token()),
}
"""All faults except `edit`, which takes a function."""


def menu_document() -> Json:
    """Return the form's data: the kinds of request, and the faults with their descriptions."""
    return {
        "on": ["any", *REQUEST_KINDS],
        "faults": [
            {"name": name, "text": _text(name), "asks": one.asks, "example": one.example}
            for name, one in MENU.items()
        ],
    }


def add_fault(to: Faults, asked: Json) -> None:
    """Adds the fault that the form describes.

    Raises:
        ConfigurationError: The form's values are invalid.
    """
    offer = MENU.get(str(asked.get("fault")))
    if offer is None:
        raise ConfigurationError("fault", f"must be one of {', '.join(MENU)}")
    try:
        action = offer.make(str(asked.get("value") or "").strip() or offer.example)
    except ValueError:  # ConfigurationError is a ValueError
        raise ConfigurationError(offer.asks, f"must be as {offer.example}") from None
    times, skip, serial_number = asked.get("times"), asked.get("skip"), asked.get("serial")
    if (times is not None and type(times) is not int) or type(skip) is not int:
        raise ConfigurationError("times, skip", "must be whole numbers")
    to.add(
        str(asked.get("on")),
        action,
        times=times,
        skip=skip,
        serial_number=str(serial_number) if serial_number else None,
    )


def _text(name: str) -> str:
    # With ``python -OO`` there are no docstrings.
    lines = (getattr(faults, name).__doc__ or name).splitlines()
    return str(lines[0]).replace("`", "").replace("seconds", "so many seconds")

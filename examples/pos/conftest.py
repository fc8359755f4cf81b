"""What the tests of the till share: tills on the plugin's gateway, and a way to wait."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any

import pos_till
import pytest
from attrs import evolve
from pos_till import Till, open_till

from payroc_async.testing import RETRIES, TIMEOUTS, PayrocGateway

__all__ = ["DEVICE", "Tills", "in_state", "shown"]

DEVICE = "1850010868"
"""The serial number of ``payroc_device``."""
Tills = Callable[..., AbstractAsyncContextManager[Till]]


@pytest.fixture
def environ(payroc_gateway: PayrocGateway, tmp_path: Path) -> dict[str, str]:
    """The variables of a till on that gateway, with its files in a folder of the test."""
    return {
        "PAYROC_API_KEY": payroc_gateway.api_key,
        "PAYROC_API_URL": payroc_gateway.environment.api_url,
        "PAYROC_IDENTITY_URL": payroc_gateway.environment.identity_url,
        "POS_DATA": str(tmp_path),
    }


@pytest.fixture
def new_till(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Tills:
    """Opens tills, one after the other, on the same files: each is the process after the last.

    Its keywords are those of ``Timeouts``.
    """
    monkeypatch.setattr(pos_till, "ASK_EVERY", 0.02)
    timeouts = evolve(TIMEOUTS, unreachable=0.5)
    return lambda **times: open_till(environ, timeouts=evolve(timeouts, **times), retries=RETRIES)


async def shown(
    till: Till, order_id: str, wanted: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """The order as soon as it is as wanted, seen as a page sees it."""
    async with aclosing(till.watch(order_id)) as watching:
        async for order in watching:
            if wanted(order):
                return order
    raise AssertionError(f"the till has closed, and {order_id} never was as wanted")


def in_state(state: str) -> Callable[[dict[str, Any]], bool]:
    """Wanted is this state."""
    return lambda order: order["state"] == state

"""Many stores in one process, each with an API key of its own: ``python examples/many_stores.py``.

Each store has its own session, because a key is valid for one merchant only. All sessions share one
journal, each with its own scope: a key may not read another key's sales. A failure in one store,
such as a refused key, does not affect the others. If a key is in a vault, pass an async function in
its place.

For real, set ``PAYROC_STORES`` to ``name:terminal:device,...``, ``PAYROC_API_KEY_<NAME>`` for each,
``PAYROC_ENVIRONMENT``, and ``STORES_DATA``, a folder on a local disk.

Exits with 0 if the outcome of every sale is known, and with 1 if one is not.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from payroc_async import (
    Order,
    OutcomeUnknownError,
    PaymentInstructionRequest,
    PayrocError,
    PayrocSession,
)
from payroc_async.journal import Journal, SQLiteJournal
from payroc_async.simulator import Simulator


@frozen
class Store:
    """A store's settings."""

    name: str
    terminal: str
    device: str


def stores_of(environ: Mapping[str, str]) -> list[Store]:
    """The stores that ``PAYROC_STORES`` names."""
    return [Store(*one.split(":")) for one in environ["PAYROC_STORES"].split(",")]


def new_session(store: Store, environ: Mapping[str, str], journal: Journal) -> PayrocSession:
    """Return the session of one store, not yet opened."""
    return PayrocSession.from_env(
        {**environ, "PAYROC_API_KEY": environ[f"PAYROC_API_KEY_{store.name.upper()}"]},
        journal=journal,
        scope=store.name,
    )


async def run_store(store: Store, session: PayrocSession) -> bool:
    """Run a store's day, here one sale; return whether its outcome is known.

    Handle the store's errors here, because a task that raises would cancel all the others.
    """
    try:
        async with session:
            # Recover unfinished sales before new ones. A long-running server uses
            # recovery=Recovery() instead.
            async for found in session.recover(timeout=120):
                print(f"{store.name:<6}  {found.action} what was left: {found.state}")
            payment = await session.run_sale(
                store.device,
                PaymentInstructionRequest(
                    processing_terminal_id=store.terminal,
                    order=Order(order_id=f"{store.name}-1", amount=4999, currency="USD"),
                ),
                timeout=120,  # seconds that the cardholder may take
                on_cancel="detach",
            )
    except OutcomeUnknownError as error:
        print(f"{store.name:<6}  do not charge again, the next start recovers it: {error}")
        return False
    except PayrocError as error:  # after every other error, no money has moved
        print(f"{store.name:<6}  no payment: {error}")
        return True
    print(f"{store.name:<6}  {payment.outcome.value}, payment {payment.payment_id}")
    return True


async def run_stores(environ: Mapping[str, str], folder: Path) -> int:
    """Run all stores concurrently."""
    journal = SQLiteJournal(folder / "stores.journal")
    stores = [(store, new_session(store, environ, journal)) for store in stores_of(environ)]
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run_store(store, session)) for store, session in stores]
    known = sum(task.result() for task in running)
    print(f"{known} of {len(running)} outcomes known")
    return 0 if known == len(running) else 1


async def main(folder: Path) -> int:
    """Run the stores of the environment, or three on a simulator."""
    if os.environ.get("PAYROC_STORES"):
        return await run_stores(os.environ, folder)
    async with Simulator() as gateway:
        print("PAYROC_STORES is not set: these sales run on a simulator, no money moves")
        gateway.device("1850010868").approves(after=0.3)
        gateway.device("1850010869").declines(after=0.5)
        # The simulator has one merchant, and so one valid key. The last store's key is wrong.
        keys = {"NORTH": gateway.api_key, "SOUTH": gateway.api_key, "WEST": "expired"}
        simulated = {
            "PAYROC_STORES": "north:1234001:1850010868,south:1234002:1850010869,west:1234003:1",
            "PAYROC_API_URL": gateway.environment.api_url,
            "PAYROC_IDENTITY_URL": gateway.environment.identity_url,
            **{f"PAYROC_API_KEY_{name}": key for name, key in keys.items()},
        }
        return await run_stores(simulated, folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as nowhere:
        sys.exit(asyncio.run(main(Path(os.environ.get("STORES_DATA") or nowhere))))

"""The till's store: each attempt to sell an order, with its key, before anything is sent.

An SQLite file for one process: a second process waits for the first to end, and then gives up. So
no other process can start a sale of the same order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiosqlite
from attrs import field, frozen

__all__ = ["NOTHING", "Orders", "Sale", "opened_orders"]

NOTHING = "no payment"
"""The outcome of a sale that has ended without one: no money moved."""
PATIENCE = 30.0
"""Seconds that the last process may take to end."""

TABLE = """
CREATE TABLE IF NOT EXISTS sales (
    order_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    serial_number TEXT NOT NULL,
    order_amount INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    canceling INTEGER NOT NULL DEFAULT 0,
    outcome TEXT,
    authorized INTEGER NOT NULL DEFAULT 0,
    payment_id TEXT,
    note TEXT,
    receipt TEXT,
    PRIMARY KEY (order_id, attempt)
)
"""


@frozen(kw_only=True)
class Sale:
    """One attempt to sell an order. Amounts are in the currency's smallest unit.

    Attributes:
        attempt: 1 for the first of its order.
        order_amount: The order's total.
        amount: The amount of this attempt: less than the total after a partial approval.
        canceling: Whether a cancellation was requested.
        outcome: The outcome; None while money may move.
        authorized: The authorized amount.
        note: Why there is no payment, or why the outcome is unknown.
    """

    order_id: str
    attempt: int
    serial_number: str
    order_amount: int
    amount: int
    idempotency_key: str = field(factory=lambda: str(uuid4()))
    canceling: bool = field(default=False, converter=bool)
    outcome: str | None = None
    authorized: int = 0
    payment_id: str | None = None
    note: str | None = None
    receipt: str | None = None


class Orders:
    """The sales of all orders. ``opened_orders`` creates it."""

    def __init__(self, database: aiosqlite.Connection) -> None:
        self._database = database

    async def sales(self, order_id: str) -> list[Sale]:
        """Return all attempts to sell this order, oldest first."""
        return await self._select("WHERE order_id = ? ORDER BY attempt", order_id)

    async def open(self) -> list[Sale]:
        """Return the sales without a known outcome, of all orders."""
        return await self._select("WHERE outcome IS NULL ORDER BY order_id, attempt")

    async def sale(self, idempotency_key: str) -> Sale | None:
        """Return the sale with this key."""
        return next(iter(await self._select("WHERE idempotency_key = ?", idempotency_key)), None)

    async def add(self, sale: Sale) -> None:
        """Store a new sale; it is on disk when this returns."""
        await self._write(
            "INSERT INTO sales (order_id, attempt, idempotency_key, serial_number, order_amount,"
            " amount) VALUES (?, ?, ?, ?, ?, ?)",
            *(sale.order_id, sale.attempt, sale.idempotency_key, sale.serial_number),
            *(sale.order_amount, sale.amount),
        )

    async def cancel(self, sale: Sale) -> None:
        """Store the request for a cancellation."""
        await self._write(
            "UPDATE sales SET canceling = 1 WHERE idempotency_key = ?", sale.idempotency_key
        )

    async def doubt(self, idempotency_key: str, note: str) -> None:
        """Store why the outcome is unknown."""
        await self._write(
            "UPDATE sales SET note = ? WHERE idempotency_key = ? AND outcome IS NULL",
            *(note, idempotency_key),
        )

    async def end(
        self,
        idempotency_key: str,
        outcome: str,
        *,
        authorized: int = 0,
        payment_id: str | None = None,
        note: str | None = None,
        receipt: str | None = None,
    ) -> None:
        """Store the outcome. A stored outcome is not replaced."""
        await self._write(
            "UPDATE sales SET outcome = ?, authorized = ?, payment_id = ?, note = ?, receipt = ?"
            " WHERE idempotency_key = ? AND outcome IS NULL",
            *(outcome, authorized, payment_id, note, receipt, idempotency_key),
        )

    async def _select(self, where: str, *values: str) -> list[Sale]:
        rows = await self._database.execute_fetchall(f"SELECT * FROM sales {where}", values)
        return [Sale(**{name: row[name] for name in row.keys()}) for row in rows]  # noqa: SIM118

    async def _write(self, statement: str, *values: str | int | None) -> None:
        await (await self._database.execute(statement, values)).close()


@asynccontextmanager
async def opened_orders(path: Path) -> AsyncIterator[Orders]:
    """Open the orders in this file, which is created if missing.

    Raises:
        sqlite3.OperationalError: Another process holds the file, or it can't be opened.
    """
    async with aiosqlite.connect(path, timeout=PATIENCE, isolation_level=None) as database:
        database.row_factory = aiosqlite.Row
        # Each statement is its own transaction, and on disk when it returns. The lock is held until
        # the process ends, even by a crash.
        for statement in (
            *("PRAGMA synchronous = FULL", "PRAGMA locking_mode = EXCLUSIVE"),
            *("BEGIN EXCLUSIVE", TABLE, "COMMIT"),
        ):
            await (await database.execute(statement)).close()
        yield Orders(database)

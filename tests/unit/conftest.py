"""A server of raw bytes for the tests of what is sent and understood."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.wire import OK, Wire


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    """It answers with ``OK`` unless the test gives it other replies."""
    wire = Wire()
    await wire.start()
    wire.replies = [OK]
    yield wire
    await wire.stop()

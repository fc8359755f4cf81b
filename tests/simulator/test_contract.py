"""The simulator, driven by its own description with schemathesis: boundary cases of everything."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from payroc_async.simulator import Simulator, simulated_payments
from payroc_async.simulator.openapi import description, served_operations
from tests.harness.answer_checks import BROKEN
from tests.tools.contract_drive import drive

EXAMPLES = 6


@pytest.mark.timeout(180)
def test_no_answer_breaks_the_description() -> None:
    """Requests made from the description, right and wrong ones, are answered as it says."""
    driven = drive(description(), examples=EXAMPLES)
    assert not driven.broken, "\n".join(driven.broken)
    asked = {name.rpartition(" ")[0] for name in driven.statuses}
    assert asked == {f"{one['method']} {one['path']}" for one in served_operations()}
    reached = {name.partition("/")[2] for name in driven.statuses if name.endswith("200")}
    assert {"payments/{paymentId} 200", "refunds/{refundId} 200"} <= reached


@pytest.mark.timeout(180)
def test_what_breaks_the_description_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of the wrong type is found by the same requests."""
    whole = simulated_payments._transaction

    def otherwise(*given: Any) -> dict[str, Any]:
        return {**whole(*given), "operator": 5}

    only = description()
    path = "/payments/{paymentId}"
    monkeypatch.setattr(simulated_payments, "_transaction", otherwise)
    driven = drive({**only, "paths": {path: only["paths"][path]}}, examples=12)
    assert any("operator" in said for said in driven.broken)
    assert any("operator" in said for said in BROKEN)
    BROKEN.clear()


async def test_a_serial_number_that_none_can_be(gateway: Simulator) -> None:
    """It is refused with 400, which names it: the simulator has failed over it before."""
    token = gateway._tokens.issue()
    headers = {
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": "11111111-1111-4111-8111-111111111111",
    }
    url = f"{gateway.url}/v1/devices/%00/signature-instructions"
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(url, json={"processingTerminalId": "1234001"}) as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["errors"][0]["parameter"] == "serialNumber"

"""What a failure of a single call proves, as an exit code: void, capture and close-batch alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from payroc_async import (
    APIError,
    ConfigurationError,
    IdempotencyKeyInUseError,
    PayrocError,
    ResponseFormatError,
    TransportError,
)
from payroc_async.cli.single_call import SingleCall
from tests.harness.wire_till import ByteGateway, problem_bytes, till_with

PATH = "POST /v1/processing-terminals/1234001/close-batch"


async def refusal(status: int, fragment: str) -> APIError:
    gateway = ByteGateway({PATH: [(status, problem_bytes(status, fragment))]})
    async with till_with(gateway) as till:
        with pytest.raises(APIError) as caught:
            await till.terminals.close_batch("1234001")
    return caught.value


def code(error: PayrocError | None, *, sent: bool, fresh: bool) -> int:
    options: Any = SimpleNamespace(idempotency_key="key", key_is_fresh=fresh)
    return SingleCall(error=error, sent=sent).code_without_answer(options)


@pytest.mark.parametrize(
    ("status", "fragment", "sent", "fresh", "expected"),
    [
        (400, "bad-request", True, True, 4),
        (409, "cannot-be-modified", True, True, 4),
        (409, "cannot-be-modified", True, False, 4),  # of an earlier try under the key, too
        (403, "forbidden", False, True, 4),
        (403, "forbidden", False, False, 5),  # of a look before: it says nothing of the first try
        (400, "idempotency-key-in-use", True, True, 5),
        (409, "idempotency-key-in-use", True, False, 5),
        (429, "too-many", True, True, 5),
        (500, "api-error", True, True, 5),
        (503, "unavailable", False, True, 4),
    ],
)
async def test_refusals(status: int, fragment: str, sent: bool, fresh: bool, expected: int) -> None:
    """Not done is said of the gateway's own refusal of what was sent, and of nothing else."""
    error = await refusal(status, fragment)
    assert isinstance(error, IdempotencyKeyInUseError) == (fragment == "idempotency-key-in-use")
    assert code(error, sent=sent, fresh=fresh) == expected


@pytest.mark.parametrize(
    "error", [TransportError("lost", request_sent=True), ResponseFormatError("garbled"), None]
)
def test_no_answer(error: PayrocError | None) -> None:
    """Lost, garbled or interrupted: unknown once it was sent, or may have been before."""
    assert code(error, sent=False, fresh=True) == 4
    assert code(error, sent=False, fresh=False) == 5
    assert code(error, sent=True, fresh=True) == 5


def test_usage() -> None:
    """A wrong option is 2; what the payment does not support is not done."""
    assert code(ConfigurationError("amount", "wrong"), sent=True, fresh=True) == 2
    assert code(ConfigurationError("payment", "supports nothing"), sent=True, fresh=False) == 4

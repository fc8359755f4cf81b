"""AUTH: the API key, the token, and what happens without a good one."""

from __future__ import annotations

from uuid import uuid4

import orjson

from payroc_async.wire.protocol import Answer

from .bench import Bench
from .scenario_table import Table

__all__ = ["AUTH"]

AUTH = Table()
USUAL_LIFETIME = 3600


@AUTH.add(
    "AUTH-01",
    "required",
    "Exchange the API key for a token",
    "200, expires_in 3600, token_type Bearer",
)
async def exchange_the_key(bench: Bench) -> None:
    """Fetch a token over the bare connection."""
    token = await (await bench.bare()).authorize(bench.api_key)
    answer = bench.exchanges("POST")[-1].answer_body
    bench.fact(expires_in=token.lifetime, token_type=answer.get("token_type"))
    bench.expect(answer.get("token_type") == "Bearer", "token_type is not Bearer")
    if token.lifetime != USUAL_LIFETIME:
        bench.note(f"expires_in is not the documented {USUAL_LIFETIME}.")


@AUTH.add(
    "AUTH-02",
    "required",
    "Bearer token on every API call, the API key on none",
    "each request carries Authorization, x-api-key goes to authorize alone",
)
async def bearer_on_every_call(bench: Bench) -> None:
    """Make a call of each kind, and look at the headers of all."""
    await (await bench.bare()).authorize(bench.api_key)
    async for _ in bench.session.devices.search(serial_number=bench.serial_number):
        break
    for one in bench.exchanges():
        headers = set(one.request_headers)
        is_api = one.path.startswith("/v1/")
        wanted, other = ("authorization", "x-api-key")[:: 1 if is_api else -1]
        bench.expect(wanted in headers, f"{one.method} {one.path} has no {wanted}")
        bench.expect(other not in headers, f"{one.method} {one.path} carries {other}")
    bench.fact(requests=len(bench.exchanges()))


@AUTH.add(
    "AUTH-03",
    "required",
    "Use an expired token",
    "401, one new token, success; no loop",
)
async def expired_token(bench: Bench) -> None:
    """Send one request with a token that the gateway does not take."""
    bench.tamper("GET /v1/devices", "spoil token")
    async for _ in bench.session.devices.search(serial_number=bench.serial_number):
        break
    statuses = [one.status for one in bench.exchanges("GET /v1/devices")]
    fetched = bench.exchanges("POST /authorize")
    bench.fact(statuses=statuses, newTokens=len(fetched))
    bench.expect(statuses == [401, 200], f"expected 401 and then 200, got {statuses}")
    bench.expect(len(fetched) == 1, f"tokens fetched: {len(fetched)}, not one")


@AUTH.add("AUTH-04", "recommended", "Exchange a wrong key", "401, reported as an error")
async def wrong_key(bench: Bench) -> None:
    """Authorize with a key that no one has."""
    bare = await bench.bare()
    with bench.refused(401, 403, 400):
        await bare.authorize(f"no-such-key-{uuid4()}")
    bench.expect(len(bench.exchanges("POST")) == 1, "the refused exchange was repeated")


@AUTH.add(
    "AUTH-05",
    "recommended",
    "Call what the key may not",
    "403, reported as an error; no retry",
)
async def forbidden(bench: Bench) -> None:
    """Answer one call with 403. No key is known that lacks a permission, so it is made up here."""
    body = {
        "type": "https://docs.payroc.com/api/errors#forbidden",
        "title": "Forbidden",
        "status": 403,
        "detail": "The key has no permission for this.",
    }
    answer = Answer(403, {"content-type": "application/problem+json"}, orjson.dumps(body))
    bench.tamper("GET /v1/devices", "answer instead", answer)
    with bench.refused(403):
        async for _ in bench.session.devices.search(serial_number=bench.serial_number):
            break
    bench.expect(len(bench.exchanges("GET")) == 1, "the forbidden call was repeated")
    bench.note("The 403 was made up here: what is shown is how the software takes it.")

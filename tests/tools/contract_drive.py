"""Drives the simulator by an OpenAPI description: its own, or Payroc's, with schemathesis.

``python -m tests.tools.contract_drive --spec FILE`` prints which answers break the description.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import hypothesis
import hypothesis.strategies as st
import schemathesis
import schemathesis.generation.hypothesis.examples
import yaml
from attrs import define, field
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from payroc_async import (
    CredentialOnFile,
    Order,
    PaymentInstructionRequest,
    PayrocSession,
    RefundInstructionRequest,
    RefundOrder,
    SignatureInstructionRequest,
)
from payroc_async.simulator import Simulator
from payroc_async.simulator.openapi import description, is_served

__all__ = ["Driven", "drive", "read_spec"]

SERIAL, TERMINAL = "1850010868", "1234001"
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
METHODS = ("get", "post", "put", "patch", "delete")
FRAMING = ("content-length", "transfer-encoding", "expect", "upgrade", "connection")
"""What the HTTP client writes. Hypothesis takes names of headers from all code that is loaded."""


@define
class Driven:
    """What came of it.

    Attributes:
        broken: Each kind of broken answer once, a sentence.
    """

    requests: int = 0
    statuses: Counter[str] = field(factory=Counter)
    broken: dict[str, int] = field(factory=dict)


def read_spec(path: Path) -> dict[str, Any]:
    """A description in YAML or JSON; without the operations that the simulator does not have."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)
    paths = {}
    for name, its in document["paths"].items():
        served = {
            key: value
            for key, value in its.items()
            if key not in METHODS or is_served(key.upper(), name)
        }
        if any(key in METHODS for key in served):
            paths[name] = served
    return {**document, "paths": paths}


def drive(
    document: dict[str, Any], *, examples: int, seed: int = 1, boundaries: bool = False
) -> Driven:
    """Send examples and boundary cases of every operation; each id is often one that exists.

    Args:
        document: The description.
        examples: How many requests of each operation at most.
        seed: The same one makes the same requests, but for the ids that exist.
        boundaries: Whether to send the description's own examples and every boundary case too.
    """
    driven = Driven()
    with _served() as (gateway, token):
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=f"{gateway.url}/v1")
        operations = [cast(Any, result).ok() for result in schema.get_all_operations()]
        # What deletes comes last: it takes from the others what they lead on from.
        for operation in sorted(operations, key=lambda one: one.method.upper() == "DELETE"):
            if boundaries:
                _drive_boundaries(schema, operation, gateway, token, driven)
            _drive_operation(operation, gateway, token, driven, examples, seed)
    return driven


def _drive_boundaries(
    schema: Any, operation: Any, gateway: Simulator, token: str, driven: Driven
) -> None:
    """Send each example and boundary case, as it is and with ids that exist."""
    examples = [_one_of(its) for its in operation.get_strategies_from_examples()]
    cases = schema.iter_coverage_cases(
        operation,
        generation_modes=list(schemathesis.GenerationMode),
        generation_config=schema.config.generation,
    )
    for case in (*examples, *cases):
        if case.method.upper() != operation.method.upper():
            continue  # another method is another operation
        _authorize(case, token)
        _send(case, driven)
        for name in case.path_parameters or {}:
            known = _known(name, operation.path, gateway)
            if known:
                case.path_parameters[name] = known[driven.requests % len(known)]
        _use_known_values(case, gateway)
        if case.path_parameters or case.body:
            _authorize(case, token)
            _send(case, driven)


def _one_of(strategy: Any) -> Any:
    return schemathesis.generation.hypothesis.examples.generate_one(strategy)


def _authorize(case: Any, token: str) -> None:
    # Random ones of these make a request that is no HTTP, which never reaches the API.
    headers = {n: v for n, v in dict(case.headers or {}).items() if n.lower() not in FRAMING}
    case.headers = {**headers, "Authorization": f"Bearer {token}"}
    if case.method.upper() == "POST":
        case.headers["Idempotency-Key"] = str(uuid4())


def _drive_operation(
    operation: Any, gateway: Simulator, token: str, driven: Driven, examples: int, seed: int
) -> None:
    modes = list(schemathesis.GenerationMode)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=cast(Any, list(hypothesis.HealthCheck)),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    @hypothesis.given(st.data())
    def run(data: Any) -> None:
        mode = data.draw(st.sampled_from(modes))
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if data.draw(st.booleans()):
            _use_known_ids(case, gateway, data)
        _authorize(case, token)
        _send(case, driven)

    run()


def _use_known_ids(case: Any, gateway: Simulator, data: Any) -> None:
    """Put ids that exist into the path, so that more is reached than a 404."""
    for name in case.path_parameters or {}:
        known = _known(name, case.operation.path, gateway)
        if known:
            case.path_parameters[name] = data.draw(st.sampled_from(known))
    _use_known_values(case, gateway)


def _use_known_values(case: Any, gateway: Simulator) -> None:
    """Put a terminal that exists into the body, and a card that was saved on it."""
    if not isinstance(case.body, dict) or "processingTerminalId" not in case.body:
        return
    case.body["processingTerminalId"] = TERMINAL
    saved = [one["token"] for one in gateway._state.office.vault.records.values()]
    if "paymentMethod" in case.body and saved:
        case.body["paymentMethod"] = {"type": "secureToken", "token": saved[0]}


def _known(name: str, path: str, gateway: Simulator) -> list[Any]:
    collections = {
        "paymentId": gateway.payments,
        "refundId": gateway.refunds,
        "signatureId": gateway.signatures,
        "closedLoopReadId": gateway._state.ledger.resources["closed-loop-reads"],
        "batchId": gateway._state.office.settlement.reports["batches"],
        "transactionId": gateway._state.office.settlement.reports["transactions"],
        "authorizationId": gateway._state.office.settlement.reports["authorizations"],
        "secureTokenId": [id_ for _, id_ in gateway._state.office.vault.records],
        "serialNumber": [SERIAL],
        "processingTerminalId": [TERMINAL],
        "processingAccountId": ["38765"],
        "model": ["paxA920Pro", "idtechKioskV"],
    }
    if name.endswith("InstructionId"):
        kind = path.split("/")[1]
        return [id_ for id_, one in gateway.instructions.items() if one.kind.collection == kind]
    return list(cast(Iterable[Any], collections.get(name, ())))


def _send(case: Any, driven: Driven) -> None:
    response = case.call()
    driven.requests += 1
    driven.statuses[f"{case.method} {case.operation.path} {response.status_code}"] += 1
    try:
        case.validate_response(response, checks=CHECKS)
    except BaseExceptionGroup as group:
        for failure in group.exceptions:
            first = [line for line in str(failure).splitlines() if line.strip()][:6]
            said = (
                f"{case.method} {case.operation.path} {response.status_code}: "
                f"{type(failure).__name__}: {' '.join(first)}"
            )
            driven.broken[said] = driven.broken.get(said, 0) + 1


# A gateway with something in it ----------


@contextmanager
def _served() -> Iterator[tuple[Simulator, str]]:
    """A gateway in a thread of its own, and a token."""
    ready: Future[tuple[Simulator, str, Any]] = Future()

    async def serve() -> None:
        async with Simulator(hold=0) as gateway:
            loop, stopped = asyncio.get_running_loop(), asyncio.Event()
            try:
                await _fill(gateway)
            except BaseException as error:
                ready.set_exception(error)
                raise
            token = gateway._tokens.issue()
            ready.set_result((gateway, token, lambda: loop.call_soon_threadsafe(stopped.set)))
            await stopped.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="driven gateway")
    thread.start()
    gateway, token, stop = ready.result(30)
    try:
        yield gateway, token
    finally:
        stop()
        thread.join()


async def _fill(gateway: Simulator) -> None:
    """Payments, refunds and the rest in every state that operations lead on from."""

    def sale(**more: Any) -> PaymentInstructionRequest:
        order = Order(order_id="OrderRef6543", amount=4999, currency="USD")
        return PaymentInstructionRequest(processing_terminal_id=TERMINAL, order=order, **more)

    order = RefundOrder(order_id="OrderRef6543", description="cold", amount=100, currency="USD")
    refund = RefundInstructionRequest(processing_terminal_id=TERMINAL, order=order)
    device = gateway.device(SERIAL)
    async with PayrocSession(gateway.api_key, environment=gateway.environment) as session:
        settled = await session.run_sale(SERIAL, sale())
        await session.run_refund(SERIAL, refund)
        gateway.close_batch()
        await session.payments.refund(settled.payment_id, amount=100, description="cold")
        await session.run_sale(SERIAL, sale(credential_on_file=CredentialOnFile(tokenize=True)))
        await session.run_sale(SERIAL, sale(auto_capture=False))
        await session.run_refund(SERIAL, refund)
        request = SignatureInstructionRequest(processing_terminal_id=TERMINAL)
        await session.capture_signature(SERIAL, request)
        device.declines()
        await session.run_sale(SERIAL, sale())
    gateway.add_closed_loop_read({"sector": "01"}, processing_terminal_id=TERMINAL)
    device.approves()


def main() -> int:
    """Drive it by the description that the command line names; 1 if an answer breaks it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=Path, help="the simulator's own if left out")
    parser.add_argument("--examples", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    document = description() if options.spec is None else read_spec(options.spec)
    driven = drive(document, examples=options.examples, seed=options.seed, boundaries=True)
    for name, number in sorted(driven.statuses.items()):
        print(f"{number:>6} {name}")
    for said, number in driven.broken.items():
        print(f"broken, {number} times: {said}")
    print(f"{driven.requests} requests, {sum(driven.broken.values())} broken answers")
    return 1 if driven.broken else 0


if __name__ == "__main__":
    sys.exit(main())
